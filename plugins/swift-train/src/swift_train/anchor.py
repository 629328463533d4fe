"""The frozen copy of the base that a task compares the model with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from swift_train.build import load_base

if TYPE_CHECKING:
    import torch
    from torch.nn import Module

    from swift_core.contract import Run


@runtime_checkable
class AnchoredTask(Protocol):
    """A task that compares the model with what it was before the training.

    Attributes:
        anchored: whether it does, with its options.
        anchor: the copy.
    """

    anchored: bool
    anchor: Module | None


def keep_anchor(task: Any, run: Run, device: torch.device) -> None:
    """Give a task that wants it a frozen copy of the run's base, on the device of the process."""
    if isinstance(task, AnchoredTask) and task.anchored:
        task.anchor = load_base(run, str(device)).model.requires_grad_(False).eval()
