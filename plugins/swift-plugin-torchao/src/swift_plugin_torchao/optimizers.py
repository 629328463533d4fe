"""Factories of torchao's AdamW with a quantized state. Its step is compiled by torch, which needs a C++ compiler (or Triton on a GPU)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from swift_train.local_shards import on_local_shards
from swift_train.optimizer_factory import DecayOptimizerFactory, Groups
from swift_train.optimizer_options import AdamOptions
from torchao import optim


class _AdamW(DecayOptimizerFactory[AdamOptions]):
    library: ClassVar[Any]

    def make(self, groups: Groups, lr: float) -> Any:
        """Return the library's optimizer, with learning rates that are numbers."""
        return on_local_shards(groups, lambda own: self._make(list(own), lr))

    def _make(self, groups: Groups, lr: float) -> Any:
        options = self.options
        rates = [group["lr"] for group in groups]
        made = _with_plain_rates(self.library)(groups, lr=lr, betas=(options.beta1, options.beta2), eps=options.eps)
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


class AdamW4bit(_AdamW):
    """AdamW with a 4-bit state."""

    library = optim.AdamW4bit


class AdamW8bit(_AdamW):
    """AdamW with an 8-bit state."""

    library = optim.AdamW8bit


class AdamWFp8(_AdamW):
    """AdamW with a float8 state."""

    library = optim.AdamWFp8
