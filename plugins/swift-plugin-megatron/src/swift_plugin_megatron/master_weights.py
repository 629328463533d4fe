"""Float32 masters of weights that compute in bfloat16: the optimizer steps them, the passes use rounded copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch.nn import Module, Parameter


class MasterWeights:
    """The weights of a module that learn, in float32.

    Build it once the optimizer has been made on the module's own weights, in float32: these become the masters.

    Args:
        dtype: what the passes are computed in.
    """

    def __init__(self, module: Module, dtype: torch.dtype) -> None:
        self.of: dict[str, Parameter] = {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
        self._pairs: Sequence[tuple[Parameter, Parameter]] = []
        if dtype != torch.float32:
            self._pairs = [(master, _replaced(module, name, master, dtype)) for name, master in self.of.items()]

    def collect(self) -> None:
        """Add the copies' gradients to those of the masters."""
        for master, used in self._pairs:
            if used.grad is not None:
                master.grad = used.grad.float() if master.grad is None else master.grad.add_(used.grad)
                used.grad = None

    def publish(self) -> None:
        """Round the masters into the copies."""
        with torch.no_grad():
            for master, used in self._pairs:
                used.copy_(master)


def _replaced(module: Module, name: str, master: Parameter, dtype: torch.dtype) -> Parameter:
    owner, _, leaf = name.rpartition(".")
    used = nn.Parameter(master.detach().to(dtype))
    vars(used).update(vars(master))  # megatron-core's marks
    setattr(module.get_submodule(owner), leaf, used)
    return used
