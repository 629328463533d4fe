"""The trainable weights as they were before the first step, which can take the place of the present ones: the reference policy.

It is right for full fine-tuning, and for adapters that do not start at zero (PiSSA, a continued adapter). It needs memory for a copy of the
trainable weights. A run that resumes copies them before it loads its checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.fsdp import FSDPModule

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


class InitialWeights:
    """A copy of a model's trainable weights.

    Args:
        module: the model, distributed by its strategy; each process copies its own part.
    """

    def __init__(self, module: Module) -> None:
        self._module = module
        self._parameters = [_own(parameter) for parameter in module.parameters() if parameter.requires_grad]
        self._copies = [parameter.clone() for parameter in self._parameters]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """While the context lasts, the model has its initial weights. No gradient may be computed meanwhile."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for part in self._module.modules():
            if isinstance(part, FSDPModule):
                part.reshard()  # gathered copies would keep the other weights
        for parameter, copy in zip(self._parameters, self._copies, strict=True):
            present = parameter.clone()
            parameter.copy_(copy)
            copy.copy_(present)


def _own(parameter: Any) -> Tensor:
    """Return the tensor with this process's part of a parameter's values."""
    tensor: Tensor = getattr(parameter, "ds_tensor", parameter).detach()
    return tensor
