"""The preference tasks: DPO, ORPO and CPO."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from swift_train.tasks import Loss
from torch.nn.functional import logsigmoid, relu

from swift_plugin_preference.alignment import COLUMN, with_alignment
from swift_plugin_preference.answers import REFERENCE, log_probabilities, supervised_lengths
from swift_plugin_preference.dpo_losses import LOSSES, Ratios
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

    @property
    def _sorted(self) -> str:
        """The loss that compares the sorted answers of a step, if there is one."""
        return next((name for name in self.options.loss_type if name.startswith("aot")), "")

    def evaluated_together(self, per_step: int) -> int | None:
        """Return the rows of a step, if their order matters."""
        return per_step if self._sorted else None

    def prepare(self, step: Step, micros: Sequence[Micro]) -> Sequence[Micro]:
        """Find what each answer is compared with, if that depends on the others of the step."""
        return with_alignment(step, micros, paired=self._sorted == "aot") if self._sorted else micros

    def loss(self, output: Tensor, micro: Micro) -> Loss:
        """Return the weighted sum of the losses in `loss_type`, and metrics."""
        options, reference = self.options, micro.columns["reference"]
        found, lengths = log_probabilities(output, micro), supervised_lengths(micro)
        nll = -pairs(found / lengths)[0]
        aligned = micro.columns.get(COLUMN, torch.zeros_like(reference))
        ratios = Ratios(
            *pairs(found - reference), *pairs(lengths), *pairs(reference), *pairs(aligned), nll, options.beta, options.label_smoothing,
            options.discopop_tau,
        )  # fmt: skip
        weights = options.loss_weights or [1.0] * len(options.loss_type)
        losses = options.rpo_alpha * nll
        for name, weight in zip(options.loss_type, weights, strict=True):
            losses = losses + weight * LOSSES[name](ratios)
        return pair_loss(losses, options.beta * ratios.chosen, options.beta * ratios.rejected, micro, nll_loss=nll)


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
