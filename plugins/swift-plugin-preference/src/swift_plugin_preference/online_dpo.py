"""Online DPO: pairs are made of answers that the model samples while it is trained, and that rewards score."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

from swift_rollouts.answers_task import AnswersTask
from swift_rollouts.assembly import make_feed
from swift_rollouts.initial import InitialWeights
from swift_rollouts.reward_metrics import metrics_of
from swift_train.scoring import with_column

from swift_plugin_preference.alignment import with_alignment
from swift_plugin_preference.answers import log_probabilities
from swift_plugin_preference.dpo_loss import dpo_loss, sorted_loss
from swift_plugin_preference.online_pairs import PREFERRED, PairSamples, build_pairs

if TYPE_CHECKING:
    from swift_rollouts.generation import Generation
    from swift_train.batches import Micro
    from swift_train.online import Session
    from swift_train.sampler import StepSampler
    from swift_train.samples import Samples
    from swift_train.scoring import Step
    from swift_train.tasks import Loss
    from torch import Tensor

    from swift_plugin_preference.online_options import OnlineDpoOptions


class OnlineDpo(AnswersTask):
    """Direct preference optimization on answers of the present policy (Guo et al. 2024, https://arxiv.org/abs/2402.04792)."""

    options: OnlineDpoOptions

    def feed(self, prompts: Samples, session: Session) -> AbstractContextManager[StepSampler]:
        """Return the sampler of rollouts."""
        self._initial = InitialWeights(session.trainer.module)

        def build(generation: Generation) -> list[PairSamples]:
            return build_pairs(generation, self.options, session.rows_per_step, prompts)

        return make_feed(prompts, session, self.options, build, lambda generation: metrics_of(generation, self.options))

    def count(self, samples: Samples, rows: Sequence[int]) -> float:
        """Return the number of pairs with a preference."""
        assert isinstance(samples, PairSamples)
        return max(1.0, samples.sampled)

    def prepare(self, step: Step, micros: Sequence[Micro]) -> Sequence[Micro]:
        """Add the log-probabilities of the reference policy, and what each answer is compared with, if that depends on the others."""
        with self._initial.in_place():
            micros = with_column(micros, "reference", step.score(micros, log_probabilities))
        kind = sorted_loss(self.options)
        return with_alignment(step, micros, paired=kind == "aot") if kind else micros

    def loss(self, output: Tensor, micro: Micro) -> Loss:
        """Return the weighted sum of the losses in `loss_type`, and metrics; pairs without a preference count for nothing."""
        weights = micro.sample_weights * micro.columns[PREFERRED].view(-1, 2)[:, 0]
        return dpo_loss(output, replace(micro, sample_weights=weights), self.options)
