"""Factories of the optimizers. Weight decay is applied to matrices only; a group's learning rate is multiplied by its `mult`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from swift_train.combined_optimizer import CombinedOptimizer
from swift_train.optimizer_factory import DecayOptimizerFactory, Groups
from swift_train.parameter_groups import hidden_matrices

from swift_plugin_optimizers.options import AdafactorOptions, AdagradOptions, MuonOptions, RmsPropOptions, SgdOptions

if TYPE_CHECKING:
    from torch.optim import Optimizer


class Muon(DecayOptimizerFactory[MuonOptions]):
    """Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; scaled as in https://arxiv.org/abs/2502.16982) and AdamW."""

    def make(self, groups: Groups, lr: float) -> Optimizer:
        """Return torch.optim.Muon over the matrices of hidden layers, and AdamW over embeddings, output layer, norms and biases."""
        options = self.options
        hidden = [group for group in groups if hidden_matrices(group)]
        others = [group for group in groups if not hidden_matrices(group)]
        parts: list[Optimizer] = []
        if hidden:
            parts.append(
                torch.optim.Muon(
                    hidden, lr=lr, momentum=options.momentum, nesterov=options.nesterov, ns_steps=options.ns_steps,
                    adjust_lr_fn=options.adjust_lr,
                )
            )  # fmt: skip
        if others:
            parts.append(torch.optim.AdamW(others, lr=lr, betas=(options.beta1, options.beta2), eps=options.eps))
        return parts[0] if len(parts) == 1 else CombinedOptimizer(*parts)


class Adafactor(DecayOptimizerFactory[AdafactorOptions]):
    """Adafactor (Shazeer and Stern 2018, https://arxiv.org/abs/1804.04235) of transformers, with the learning rate of the schedule."""

    def make(self, groups: Groups, lr: float) -> Optimizer:
        """Return transformers' Adafactor."""
        from transformers import optimization

        options = self.options
        library: Any = optimization.Adafactor
        made: Optimizer = library(
            groups, lr=lr, relative_step=False, warmup_init=False, scale_parameter=options.scale_parameter,
            clip_threshold=options.clip_threshold, decay_rate=options.decay_rate, beta1=options.beta1,
        )  # fmt: skip
        return made


class Sgd(DecayOptimizerFactory[SgdOptions]):
    """Stochastic gradient descent of torch."""

    def make(self, groups: Groups, lr: float) -> Optimizer:
        """Return torch.optim.SGD."""
        return torch.optim.SGD(groups, lr=lr, momentum=self.options.momentum, nesterov=self.options.nesterov)


class RmsProp(DecayOptimizerFactory[RmsPropOptions]):
    """RMSprop of torch."""

    def make(self, groups: Groups, lr: float) -> Optimizer:
        """Return torch.optim.RMSprop."""
        return torch.optim.RMSprop(groups, lr=lr, alpha=self.options.alpha, eps=self.options.eps, momentum=self.options.momentum)


class Adagrad(DecayOptimizerFactory[AdagradOptions]):
    """Adagrad of torch."""

    def make(self, groups: Groups, lr: float) -> Optimizer:
        """Return torch.optim.Adagrad."""
        return torch.optim.Adagrad(groups, lr=lr, eps=self.options.eps)
