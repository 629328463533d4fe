"""What training has made of a model, through a resume: its weights, and the state of the optimizer.

torch brings back the settings of an optimizer's groups with their state, and would undo those that have changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from swift_core.contract.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

SAME_MODEL = "Resume with the tuner and the model as they were."


def save_tensors(path: Path, state: Any) -> None:
    """`torch.save` through Python's file, whose errors name a full disk; those of torch's own writer don't."""
    with path.open("wb") as file:
        torch.save(state, file)


def load_weights(module: Module, weights: Mapping[str, Tensor]) -> None:
    """Copy saved weights into the parameters of their names.

    Raises:
        UsageError: one has another shape, or is not there.
    """
    own = dict(module.named_parameters())
    for name, value in weights.items():
        shape = tuple(own[name].shape) if name in own else None
        if shape != tuple(value.shape):
            now = f"has the shape {shape}" if shape else "is not there"
            raise UsageError(f"the checkpoint has {name} of the shape {tuple(value.shape)}; here it {now}", where="resume", hint=SAME_MODEL)
    with torch.no_grad():
        for name, value in weights.items():
            own[name].copy_(value)


def group_settings(optimizer: Optimizer) -> list[dict[str, Any]]:
    """What each group was made with; ask for it before the first step, since some optimizers keep their progress there."""
    return [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]


def load_optimizer(
    optimizer: Optimizer, state: Mapping[str, Any], then: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]
) -> None:
    """Load a `state_dict`, and set again what differs between the settings of then and now.

    Raises:
        UsageError: the state is of other weights.
    """
    try:
        optimizer.load_state_dict(dict(state))
    except ValueError as error:
        raise UsageError(f"the optimizer's state is of other weights: {error}", where="resume", hint=SAME_MODEL) from None
    set_changed(optimizer, then, now)


def set_changed(optimizer: Optimizer, then: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> None:
    """Set again what differs between the settings of then, which a loaded state has brought back, and now."""
    for group, old, new in zip(optimizer.param_groups, then, now, strict=True):
        group.update({name: value for name, value in new.items() if old.get(name) != value})


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """The learning rate of each group: `rate` × its own `mult`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("mult", 1.0)
