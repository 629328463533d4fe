"""AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101), as implemented by torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from swift_train.parameter_groups import split_by_decay

if TYPE_CHECKING:
    from swift_train.optimizer_options import AdamOptions


class AdamW:
    """Builds torch.optim.AdamW without weight decay on norms and biases (parameters of fewer than two dimensions)."""

    def __init__(self, options: AdamOptions) -> None:
        self.options = options

    def build(self, groups: Sequence[Mapping[str, Any]], lr: float) -> torch.optim.Optimizer:
        """Return an optimizer over the parameter groups, each split by weight decay; `lr` is multiplied by a group's `mult`."""
        options = self.options
        split = split_by_decay(groups, lr, options.weight_decay)
        return torch.optim.AdamW(split, lr=lr, betas=(options.beta1, options.beta2), eps=options.eps)
