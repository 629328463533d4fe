"""On-policy distillation: a student learns from what a teacher thinks of the student's own answers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np
import torch
from swift_rollouts.assembly import make_feed
from swift_rollouts.dropout import without_dropout
from swift_rollouts.prompts import PromptEncoder
from swift_rollouts.samples import RolloutRow, RolloutSamples
from swift_train.tasks import Loss, NextToken

from swift_plugin_grpo.teacher import Teacher

if TYPE_CHECKING:
    from swift_rollouts.generation import Generation
    from swift_train.batches import Micro
    from swift_train.media.rows import RowMedia
    from swift_train.online import Session
    from swift_train.sampler import StepSampler
    from swift_train.samples import Samples
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedTokenizerBase

    from swift_plugin_grpo.options import GkdOptions


class Gkd(NextToken):
    """Distillation by the reverse divergence from the teacher, on answers of the student (Agarwal et al. 2023, arXiv:2306.13649).

    The divergence is estimated at the sampled tokens: the loss is a policy gradient whose advantage at each token is the teacher's
    log-probability minus the student's (Lu et al. 2025, https://thinkingmachines.ai/blog/on-policy-distillation).
    """

    def __init__(self, options: GkdOptions) -> None:
        self.options = options
        self.truncation: str = options.truncation
        self._without_dropout: Module | None = None

    def encoder(self, tokenizer: PreTrainedTokenizerBase, *, stops: Sequence[str] = (), media: RowMedia | None = None) -> PromptEncoder:
        """Return the encoder of prompts, which uses the model's chat template."""
        return PromptEncoder(tokenizer, self.options, stops, media)

    def feed(self, prompts: Samples, session: Session) -> AbstractContextManager[StepSampler]:
        """Return the sampler of rollouts, which the teacher has scored."""

        def build(generation: Generation) -> list[RolloutSamples]:
            return _steps(generation, session.rows_per_step, prompts)

        return make_feed(prompts, session, self.options, build, _metrics, score=Teacher(self.options).score)

    def count(self, samples: Samples, rows: Sequence[int]) -> float:
        """Return the number of sampled tokens."""
        assert isinstance(samples, RolloutSamples)
        return samples.tokens

    def forward(self, model: Module, micro: Micro) -> Tensor:
        """Return the logits of the sampled tokens, without dropout."""
        if self._without_dropout is not model:
            without_dropout(model)
            self._without_dropout = model
        return super().forward(model, micro)

    def loss(self, output: Tensor, micro: Micro) -> Loss:
        """Return the sum of the losses of the sampled tokens, and metrics."""
        every = torch.log_softmax(output, -1, dtype=torch.float32)
        now = every.gather(1, micro.labels[:, None]).squeeze(1)
        weights = micro.sample_weights[micro.sample][micro.sequence]
        divergence = now.detach() - micro.columns["teacher"]
        losses = divergence * now
        values = {
            "divergence": divergence,
            "kl_engine": (now.detach() - micro.columns["engine"]).abs(),
            "entropy": -(every.detach().exp() * every.detach()).sum(-1),
        }
        return Loss((losses * weights).sum(), {name: ((value * weights).sum(), weights.sum()) for name, value in values.items()})


def _steps(generation: Generation, rows_per_step: int, prompts: Samples) -> list[RolloutSamples]:
    """Return the rows of each step of a generation."""
    rows = [
        RolloutRow(
            group.ids,
            answer,
            {"teacher": answer.of_sampled(answer.teacher), "engine": answer.of_sampled(answer.logprobs)},
            prompts.origin(group.prompt),
        )
        for group in generation.groups
        for answer in group.answers
    ]
    parts = [rows[start : start + rows_per_step] for start in range(0, len(rows), rows_per_step)]
    return [RolloutSamples(part, sampled=len(part), tokens=sum(row.answer.sampled for row in part)) for part in parts]


def _metrics(generation: Generation) -> dict[str, float]:
    """Return the metrics of a generation; the divergence is that of the student as it was when it answered."""
    answers = [answer for group in generation.groups for answer in group.answers]
    differences = np.concatenate([answer.of_sampled(answer.logprobs) - answer.of_sampled(answer.teacher) for answer in answers])
    return {"divergence": float(differences.mean()), **generation.metrics()}
