"""Save and restore the trained weights and the optimizer state.

torch restores the settings of an optimizer's parameter groups with their state, which would undo settings changed for a resumed run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

SAME_MODEL = "Resume with the original model and tuner."


def save_tensors(path: Path, state: Any) -> None:
    """Call `torch.save` on a Python file object, whose errors report a full disk; those of torch's own writer do not."""
    with path.open("wb") as file:
        torch.save(state, file)


def load_weights(module: Module, weights: Mapping[str, Tensor]) -> None:
    """Copy saved weights into the module's parameters of the same names.

    Raises:
        UsageError: the module has no parameter of a name, or it has another shape.
    """
    own = dict(module.named_parameters())
    for name, value in weights.items():
        shape = tuple(own[name].shape) if name in own else None
        if shape != tuple(value.shape):
            own_shape = f"has shape {shape}" if shape else "does not exist"
            message = f"the checkpoint has {name} with shape {tuple(value.shape)}; in the model it {own_shape}"
            raise UsageError(message, code="TRAIN-076", where="resume", hint=SAME_MODEL)
    with torch.no_grad():
        for name, value in weights.items():
            own[name].copy_(value)


def group_settings(optimizer: Optimizer) -> list[dict[str, Any]]:
    """Return the settings of each parameter group; to be called before the first step, since some optimizers keep state in them."""
    return [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]


def load_optimizer(
    optimizer: Optimizer, state: Mapping[str, Any], saved: Sequence[Mapping[str, Any]], settings: Sequence[Mapping[str, Any]]
) -> None:
    """Load an optimizer's `state_dict`; settings that differ between the saved run and this one keep this run's values.

    Args:
        state: the saved state.
        saved, settings: what `group_settings` returned in the saved run and in this one.

    Raises:
        UsageError: the state belongs to other weights.
    """
    try:
        optimizer.load_state_dict(dict(state))
    except ValueError as error:
        raise UsageError(
            f"the optimizer state belongs to other weights: {error}", code="TRAIN-077", where="resume", hint=SAME_MODEL
        ) from None
    set_changed(optimizer, saved, settings)


def set_changed(optimizer: Optimizer, saved: Sequence[Mapping[str, Any]], settings: Sequence[Mapping[str, Any]]) -> None:
    """Set this run's values of the settings that differ from the saved run's, which a loaded state has restored."""
    for group, old, new in zip(optimizer.param_groups, saved, settings, strict=True):
        group.update({name: value for name, value in new.items() if old.get(name) != value})


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of each parameter group to `rate` times the group's own `mult`."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("mult", 1.0)
