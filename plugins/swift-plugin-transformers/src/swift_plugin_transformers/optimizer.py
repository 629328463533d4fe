"""AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101), as implemented by torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from swift_plugin_transformers.options import AdamWOptions


class AdamW:
    """Builds torch.optim.AdamW without weight decay on norms and biases (parameters of fewer than two dimensions)."""

    def __init__(self, options: AdamWOptions) -> None:
        self.options = options

    def build(self, groups: Sequence[Mapping[str, Any]], lr: float) -> torch.optim.Optimizer:
        """Return an optimizer over the parameter groups, each split by weight decay; `lr` is multiplied by a group's `mult`."""
        options = self.options
        split = []
        for group in groups:
            shared = {**group, "lr": lr * group.get("mult", 1.0)}
            for decay, matrices in ((options.weight_decay, True), (0.0, False)):
                if params := [parameter for parameter in group["params"] if (parameter.ndim >= 2) == matrices]:
                    split.append({**shared, "params": params, "weight_decay": decay})
        return torch.optim.AdamW(split, lr=lr, betas=(options.beta1, options.beta2), eps=options.eps)
