"""Factories of torchao's AdamW with a quantized state. Its step is compiled by torch, which needs a C++ compiler (or Triton on a GPU)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from swift_train.parameter_groups import split_by_decay
from torchao import optim

if TYPE_CHECKING:
    from swift_train.optimizer_options import AdamOptions
    from torch.optim import Optimizer


class _Factory:
    library: ClassVar[Any]

    def __init__(self, options: AdamOptions) -> None:
        self.options = options

    def build(self, groups: Sequence[Mapping[str, Any]], lr: float) -> Optimizer:
        """Return the optimizer over the groups, each split by weight decay."""
        options = self.options
        split = split_by_decay(groups, lr, options.weight_decay)
        rates = [group["lr"] for group in split]
        made: Optimizer = _with_plain_rates(self.library)(split, lr=lr, betas=(options.beta1, options.beta2), eps=options.eps)
        for group, rate in zip(made.param_groups, rates, strict=True):
            group["lr"] = rate
        return made


def _with_plain_rates(library: Any) -> Any:
    """Return the class with learning rates that are numbers; the library needs tensors, for which its step is compiled once."""

    def step(self: Any, closure: Any = None) -> Any:
        rates = [group["lr"] for group in self.param_groups]
        for group in self.param_groups:
            group["lr"] = torch.tensor(group["lr"])
        try:
            return library.step(self, closure)
        finally:
            for group, rate in zip(self.param_groups, rates, strict=True):
                group["lr"] = rate

    return type(library.__name__, (library,), {"step": step})


class AdamW4bit(_Factory):
    """AdamW with a 4-bit state."""

    library = optim.AdamW4bit


class AdamW8bit(_Factory):
    """AdamW with an 8-bit state."""

    library = optim.AdamW8bit


class AdamWFp8(_Factory):
    """AdamW with a float8 state."""

    library = optim.AdamWFp8
