"""On-policy distillation: a student learns from what a teacher thinks of the student's own answers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np
import torch
from swift_rollouts.answers_task import AnswersTask
from swift_rollouts.assembly import make_feed
from swift_rollouts.samples import RolloutRow, RolloutSamples
from swift_train.tasks import Loss, NextToken

from swift_plugin_grpo.local_teacher import divergences, load_teacher
from swift_plugin_grpo.teacher import Teacher, check_teacher

if TYPE_CHECKING:
    from swift_rollouts.generation import Generation
    from swift_train.batches import Micro
    from swift_train.online import Session
    from swift_train.sampler import StepSampler
    from swift_train.samples import Samples
    from torch import Tensor
    from torch.nn import Module

    from swift_plugin_grpo.gkd_options import GkdOptions


class Gkd(AnswersTask):
    """Distillation by the divergence from a teacher, on answers of the student (Agarwal et al. 2023, arXiv:2306.13649).

    A teacher that is a checkpoint gives its distribution at each token, and the loss is the generalised Jensen-Shannon divergence. One
    behind a URL gives the log-probabilities of the sampled tokens: the loss is a policy gradient whose advantage at each token is the
    teacher's log-probability minus the student's (Lu et al. 2025, https://thinkingmachines.ai/blog/on-policy-distillation).
    """

    options: GkdOptions

    def __init__(self, options: GkdOptions) -> None:
        super().__init__(options)
        self._teacher: Module | None = None

    def feed(self, prompts: Samples, session: Session) -> AbstractContextManager[StepSampler]:
        """Return the sampler of rollouts, which the teacher has scored."""

        def build(generation: Generation) -> list[RolloutSamples]:
            rows, count = _rows(generation, prompts), session.rows_per_step
            return [_samples(rows[start : start + count]) for start in range(0, len(rows), count)]

        check_teacher(self.options, prompts, session.heldout)
        if self.options.teacher_model:
            self._teacher = load_teacher(self.options.teacher_model, session)
            return make_feed(
                prompts, session, self.options, build, _metrics, evaluated=lambda found: _samples(_rows(found, session.heldout))
            )
        return make_feed(prompts, session, self.options, build, _metrics, score=Teacher(self.options).score)

    def count(self, samples: Samples, rows: Sequence[int]) -> float:
        """Return the number of sampled tokens."""
        assert isinstance(samples, RolloutSamples)
        return samples.tokens

    def loss(self, output: Tensor, micro: Micro) -> Loss:
        """Return the sum of the losses of the answers' tokens, and metrics."""
        every = torch.log_softmax(output, -1, dtype=torch.float32)
        now = every.gather(1, micro.labels[:, None]).squeeze(1)
        weights = micro.sample_weights[micro.sample][micro.sequence]
        given = micro.columns["given"][micro.sequence]
        if self._teacher is not None:
            with torch.no_grad():
                teacher = NextToken.forward(self, self._teacher, micro.separate())
            losses = divergences(output, teacher, self.options.divergence)
            divergence = losses.detach()
        else:
            divergence = now.detach() - micro.columns["teacher"]
            losses = divergence * now
        losses = losses - self.options.sft_alpha * given * now
        sampled = weights * (1 - given)
        found = {
            "divergence": (divergence, weights),
            "kl_engine": ((now.detach() - micro.columns["engine"]).abs(), sampled),
            "entropy": (-(every.detach().exp() * every.detach()).sum(-1), weights),
        }
        return Loss((losses * weights).sum(), {name: ((value * each).sum(), each.sum()) for name, (value, each) in found.items()})


def _rows(generation: Generation, prompts: Samples | None) -> list[RolloutRow]:
    """Return the rows of a generation of answers to prompts."""
    assert prompts is not None
    return [
        RolloutRow.of(
            prompts,
            group,
            answer,
            {
                "engine": answer.of_sampled(answer.logprobs),
                "given": float(answer.given),
                **({"teacher": answer.of_sampled(answer.teacher)} if answer.teacher else {}),
            },
        )
        for group in generation.groups
        for answer in group.answers
    ]


def _samples(rows: Sequence[RolloutRow]) -> RolloutSamples:
    return RolloutSamples(rows, sampled=len(rows), tokens=sum(row.answer.sampled for row in rows))


def _metrics(generation: Generation) -> dict[str, float]:
    """Return the metrics of a generation; with a teacher's server also the divergence of the student as it was when it answered."""
    answers = [answer for group in generation.groups for answer in group.answers]
    differences = [answer.of_sampled(answer.logprobs) - answer.of_sampled(answer.teacher) for answer in answers if answer.teacher]
    found = {"divergence": float(np.concatenate(differences).mean())} if differences else {}
    given = float(np.mean([answer.given for answer in answers]))
    return {**found, **({"completions/given": given} if given else {}), **generation.metrics()}
