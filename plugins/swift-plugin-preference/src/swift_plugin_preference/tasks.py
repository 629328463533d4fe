"""The preference tasks: DPO, ORPO and CPO."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from swift_train.tasks import Loss
from torch.nn.functional import logsigmoid, relu

from swift_plugin_preference.alignment import with_alignment
from swift_plugin_preference.answers import REFERENCE, log_probabilities, supervised_lengths
from swift_plugin_preference.dpo_loss import dpo_loss, sorted_loss
from swift_plugin_preference.pairs import PairTask, pair_loss, pairs

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.scoring import Step
    from torch import Tensor

    from swift_plugin_preference.options import CpoOptions, DpoOptions, OrpoOptions


class Dpo(PairTask):
    """Direct preference optimization (Rafailov et al. 2023, https://arxiv.org/abs/2305.18290) and its variants.

    The reference policy is the model before the first step.
    """

    options: DpoOptions
    reference = REFERENCE

    def evaluated_together(self, per_step: int) -> int | None:
        """Return the rows of a step, if their order matters."""
        return per_step if sorted_loss(self.options) else None

    def prepare(self, step: Step, micros: Sequence[Micro]) -> Sequence[Micro]:
        """Find what each answer is compared with, if that depends on the others of the step."""
        kind = sorted_loss(self.options)
        return with_alignment(step, micros, paired=kind == "aot") if kind else micros

    def loss(self, output: Tensor, micro: Micro) -> Loss:
        """Return the weighted sum of the losses in `loss_type`, and metrics."""
        return dpo_loss(output, micro, self.options)


class Orpo(PairTask):
    """Odds ratio preference optimization (Hong et al. 2024, https://arxiv.org/abs/2403.07691), per pair."""

    options: OrpoOptions

    def loss(self, output: Tensor, micro: Micro) -> Loss:
        """Return the sum of the negative log-likelihoods of the chosen answers and of the weighted odds ratio losses."""
        beta = self.options.beta
        chosen, rejected = pairs(log_probabilities(output, micro) / supervised_lengths(micro))
        odds = (chosen - rejected) - (torch.log1p(-chosen.exp()) - torch.log1p(-rejected.exp()))
        return pair_loss(-chosen - beta * logsigmoid(odds), beta * chosen, beta * rejected, micro, nll_loss=-chosen, log_odds_chosen=odds)


class Cpo(PairTask):
    """Contrastive preference optimization (Xu et al. 2024, https://arxiv.org/abs/2401.08417).

    With `loss_type` simpo it is simple preference optimization (Meng et al. 2024, https://arxiv.org/abs/2405.14734) if `cpo_alpha` is 0.
    """

    options: CpoOptions

    def loss(self, output: Tensor, micro: Micro) -> Loss:
        """Return the sum of the preference losses and of the weighted negative log-likelihoods of the chosen answers."""
        options = self.options
        found, lengths = log_probabilities(output, micro), supervised_lengths(micro)
        chosen, rejected = pairs(found / lengths if options.loss_type in ("simpo", "ipo") else found)
        margin, smoothing = chosen - rejected, options.label_smoothing
        if options.loss_type == "simpo":
            margin = margin - options.simpo_gamma / options.beta
        if options.loss_type == "hinge":
            losses = relu(1 - options.beta * margin)
        elif options.loss_type == "ipo":
            losses = (margin - 1 / (2 * options.beta)) ** 2
        else:
            losses = -(1 - smoothing) * logsigmoid(options.beta * margin) - smoothing * logsigmoid(-options.beta * margin)
        nll = -pairs(found / lengths)[0]
        return pair_loss(losses + options.cpo_alpha * nll, options.beta * chosen, options.beta * rejected, micro, nll_loss=nll)
