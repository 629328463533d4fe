"""Float32 master weights of a model that computes in bfloat16: the optimizer updates them, the passes use rounded copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch.nn import Module, Parameter


class MasterWeights:
    """The trainable weights of a module in float32; `by_name` has them by parameter name.

    Create it after the optimizer, which must hold the module's own float32 weights: these become the master weights.

    Args:
        dtype: compute type of the passes.
    """

    def __init__(self, module: Module, dtype: torch.dtype) -> None:
        self.by_name: dict[str, Parameter] = {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
        self._pairs: Sequence[tuple[Parameter, Parameter]] = []  # master weight, rounded copy
        if dtype != torch.float32:
            self._pairs = [(master, _replace_with_copy(module, name, master, dtype)) for name, master in self.by_name.items()]

    def collect_gradients(self) -> None:
        """Add the gradients of the rounded copies to those of the master weights."""
        for master, rounded in self._pairs:
            if rounded.grad is not None:
                master.grad = rounded.grad.float() if master.grad is None else master.grad.add_(rounded.grad)
                rounded.grad = None

    def update_copies(self) -> None:
        """Round the master weights into the copies."""
        with torch.no_grad():
            for master, rounded in self._pairs:
                rounded.copy_(master)


def _replace_with_copy(module: Module, name: str, master: Parameter, dtype: torch.dtype) -> Parameter:
    owner, _, attribute = name.rpartition(".")
    rounded = nn.Parameter(master.detach().to(dtype))
    vars(rounded).update(vars(master))  # attributes that megatron-core has set
    setattr(module.get_submodule(owner), attribute, rounded)
    return rounded
