"""Turn dropout off: a policy is compared with itself, and must not differ from one pass to the next."""

from __future__ import annotations

from torch.nn import Dropout, Module


def without_dropout(model: Module) -> None:
    """Set the probability of every dropout module to 0."""
    for module in model.modules():
        if isinstance(module, Dropout):
            module.p = 0.0
