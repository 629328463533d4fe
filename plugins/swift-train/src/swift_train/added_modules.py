"""Modules that a task adds to a model for its training alone, such as a value head.

They are trained and resumed with the model, and are in none of its checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from swift_train.tasks import LossTask

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


@runtime_checkable
class ModuleTask(LossTask, Protocol):
    """A task that adds modules to its model."""

    def add_modules(self, model: Module) -> Sequence[Module]:
        """Add modules to a model that has its tuner, on its device, which may be `meta`, and return them."""
        ...


def added_parameters(task: LossTask, model: Module) -> list[Tensor]:
    """Let a task add its modules to a model, and return their parameters."""
    return [part for module in task.add_modules(model) for part in module.parameters()] if isinstance(task, ModuleTask) else []
