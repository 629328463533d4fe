"""AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101), as implemented by torch."""

from __future__ import annotations

import torch
from swift_train.optimizer_factory import DecayOptimizerFactory, Groups
from swift_train.optimizer_options import AdamOptions


class AdamW(DecayOptimizerFactory[AdamOptions]):
    """Builds torch.optim.AdamW without weight decay on norms and biases (parameters of fewer than two dimensions)."""

    def make(self, groups: Groups, lr: float) -> torch.optim.Optimizer:
        """Return torch.optim.AdamW."""
        options = self.options
        return torch.optim.AdamW(groups, lr=lr, betas=(options.beta1, options.beta2), eps=options.eps)
