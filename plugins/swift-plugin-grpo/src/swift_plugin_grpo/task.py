"""The task: answers to prompts are sampled, scored, and trained on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from swift_rollouts.answers_task import AnswersTask
from swift_rollouts.assembly import make_feed
from swift_rollouts.generation import Generation, generation_file
from swift_rollouts.initial import InitialWeights
from swift_rollouts.reward_metrics import metrics_of
from swift_train.losses import entropies, log_probabilities
from swift_train.scoring import with_column
from swift_train.tasks import Loss, NextToken

from swift_plugin_grpo.build import StepRows, build_steps
from swift_plugin_grpo.entropic import with_highest_entropy
from swift_plugin_grpo.local_teacher import load_teacher
from swift_plugin_grpo.losses import masked_count, terms
from swift_plugin_grpo.teacher import Teacher, check_teacher

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.online import Session
    from swift_train.sampler import StepSampler
    from swift_train.samples import Samples
    from swift_train.scoring import Step
    from torch import Tensor
    from torch.nn import Module

    from swift_plugin_grpo.options import GrpoOptions


class Grpo(AnswersTask):
    """Group-relative policy optimization (Shao et al. 2024, https://arxiv.org/abs/2402.03300) and its variants."""

    options: GrpoOptions

    def __init__(self, options: GrpoOptions) -> None:
        super().__init__(options)
        self._initial: InitialWeights | None = None
        self._teacher: Module | None = None

    def feed(self, prompts: Samples, session: Session) -> AbstractContextManager[StepSampler]:
        """Return the sampler of rollouts."""
        check_teacher(self.options, prompts, session.heldout)
        if self.options.teacher_model:
            self._teacher = load_teacher(self.options.teacher_model, session)
        if self.options.beta:
            self._initial = InitialWeights(session.trainer.module)

        def build(generation: Generation) -> list[StepRows]:
            file = generation_file(session.report.folder, generation.number).with_suffix(".old.npy")
            return build_steps(generation, self.options, session.rows_per_step, prompts, file)

        score = Teacher(self.options).score if self.options.teacher_server else None
        return make_feed(prompts, session, self.options, build, lambda generation: metrics_of(generation, self.options), score=score)

    def count(self, samples: Samples, rows: Sequence[int]) -> float:
        """Return what the loss of a step is a mean over, also of rows from which nothing is learned and which are not computed."""
        assert isinstance(samples, StepRows)
        return samples.mean_over(self.options)

    def prepare(self, step: Step, micros: Sequence[Micro]) -> Sequence[Micro]:
        """Add the log-probabilities of the policy before the first pass over these answers, and of the reference policy."""
        rows = step.samples
        assert isinstance(rows, StepRows)
        if rows.old:
            rows.old.ensure(step, self._score)
            micros = [rows.old.added(micro, rows.first) for micro in micros]
        if self._initial and not self.options.reduces_rewards:
            with self._initial.in_place():
                micros = with_column(micros, "reference", step.score(micros, self._log_probabilities))
        if self.options.top_entropy_quantile < 1:
            micros = with_highest_entropy(step, micros, self.options.top_entropy_quantile, self.options.temperature)
        return self._without_masked(step, rows, micros) if self.options.masks else micros

    def _without_masked(self, step: Step, rows: StepRows, micros: Sequence[Micro]) -> Sequence[Micro]:
        """Take the tokens that the correction masks out of what the loss is a mean over."""
        masked = sum(step.gather(sum(masked_count(micro, self.options) for micro in micros)))
        share = rows.mean_over(self.options) / max(1.0, rows.mean_over(self.options) - masked)
        return [replace(micro, columns={**micro.columns, "scale": torch.full((len(micro.sample),), share)}) for micro in micros]

    def loss(self, output: Tensor, micro: Micro) -> Loss:
        """Return the sum of the losses of the sampled tokens, and metrics."""
        if self._teacher is not None:
            with torch.no_grad():
                teacher = self._log_probabilities(NextToken.forward(self, self._teacher, micro.separate()), micro)
            micro = replace(micro, columns={**micro.columns, "teacher": teacher})
        logits = self._scaled(output)
        found = terms(log_probabilities(logits, micro.labels), micro, self.options)
        weights = micro.sample_weights[micro.sample][micro.sequence] * found.kept
        losses = found.losses * weights * (micro.columns["scale"][micro.sequence] if "scale" in micro.columns else 1.0)
        if self.options.loss_type in ("grpo", "gspo", "sapo"):
            losses = losses / micro.sums(found.kept).clamp(min=1)[micro.sequence]
        values = {
            "ratio": found.ratio,
            "clip_ratio/low": found.low.float(),
            "clip_ratio/high": found.high.float(),
            "kl_engine": found.mismatch,
            "entropy": entropies(logits),
            **({"kl": found.divergence.detach()} if found.divergence is not None else {}),
            **({"teacher_kl": found.to_teacher} if found.to_teacher is not None else {}),
        }
        metrics = {name: ((value * weights).sum(), weights.sum()) for name, value in values.items()}
        shown = micro.sample_weights[micro.sample][micro.sequence]
        metrics["masked"] = ((shown * (1 - found.kept)).sum(), shown.sum())
        return Loss(losses.sum(), metrics)

    def _score(self, step: Step, micros: Sequence[Micro]) -> Sequence[Tensor]:
        """Return the log-probability of each token, and that of the reference policy if rewards are reduced by their difference."""
        found = [values[:, None] for values in step.score(micros, self._log_probabilities)]
        if not (self._initial and self.options.reduces_rewards):
            return found
        with self._initial.in_place():
            before = step.score(micros, self._log_probabilities)
        return [torch.cat([values, first[:, None]], 1) for values, first in zip(found, before, strict=True)]

    def _log_probabilities(self, output: Tensor, micro: Micro) -> Tensor:
        return log_probabilities(self._scaled(output), micro.labels)

    def _scaled(self, output: Tensor) -> Tensor:
        """Return the logits of the distribution that the answers are sampled from."""
        return output if self.options.temperature == 1 else output.float() / self.options.temperature
