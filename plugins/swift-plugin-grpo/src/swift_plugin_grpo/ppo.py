"""Proximal policy optimization: a value head learns the expected return after each token, which is the baseline of the rewards."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import torch
from swift_rollouts.answers_task import AnswersTask
from swift_rollouts.assembly import make_feed
from swift_rollouts.generation import Generation, generation_file
from swift_rollouts.initial import InitialWeights
from swift_rollouts.reward_metrics import metrics_of
from swift_train.adapters import takes_logits_to_keep
from swift_train.scored_logits import scored_logits
from swift_train.tasks import Loss

from swift_plugin_grpo.ppo_loss import ppo_loss
from swift_plugin_grpo.ppo_rows import PpoRows, build_steps
from swift_plugin_grpo.value_head import add_value_head

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.online import Session
    from swift_train.sampler import StepSampler
    from swift_train.samples import Samples
    from swift_train.scoring import Step
    from torch import Tensor
    from torch.nn import Module

    from swift_plugin_grpo.ppo_options import PpoOptions


class Ppo(AnswersTask):
    """Proximal policy optimization (Schulman et al. 2017, https://arxiv.org/abs/1707.06347) of a language model, as Ziegler et al. 2019.

    The value head is on the policy's own last hidden states, so it needs no second model (https://arxiv.org/abs/1909.08593).
    """

    options: PpoOptions

    def __init__(self, options: PpoOptions) -> None:
        super().__init__(options)
        self._initial: InitialWeights | None = None
        self._values: Tensor | None = None  # of the last forward pass, (tokens,)

    def add_modules(self, model: Module) -> Sequence[Module]:
        """Add the value head."""
        return [add_value_head(model)]

    def feed(self, prompts: Samples, session: Session) -> AbstractContextManager[StepSampler]:
        """Return the sampler of rollouts."""
        if self.options.kl_coef:
            self._initial = InitialWeights(session.trainer.module)

        def build(generation: Generation) -> list[PpoRows]:
            file = generation_file(session.report.folder, generation.number).with_suffix(".old.npy")
            return build_steps(generation, self.options, session.rows_per_step, prompts, file)

        return make_feed(prompts, session, self.options, build, lambda generation: metrics_of(generation, self.options))

    def count(self, samples: Samples, rows: Sequence[int]) -> float:
        """Return the number of sampled tokens."""
        assert isinstance(samples, PpoRows)
        return max(1.0, samples.tokens)

    def prepare(self, step: Step, micros: Sequence[Micro]) -> Sequence[Micro]:
        """Add the log-probabilities and values before the first pass over these answers, with advantages and returns."""
        rows = step.samples
        assert isinstance(rows, PpoRows)
        rows.scores.ensure(step, self._score)
        kept = float(rows.sampled > 0)
        return [rows.scores.added(micro, rows.first) for micro in (micros if kept else [micro.as_filler() for micro in micros])]

    def forward(self, model: Module, micro: Micro) -> Tensor:
        """Return the logits of the sampled tokens; their values are kept for the loss that follows."""
        self.turn_dropout_off(model)
        logits, output = scored_logits(model, micro)
        values = output.value.float().squeeze(0)
        self._values = values if takes_logits_to_keep(model) else values.index_select(0, micro.positions)
        return logits

    def loss(self, output: Tensor, micro: Micro) -> Loss:
        """Return the sum of the losses of the sampled tokens, and metrics."""
        assert self._values is not None
        return ppo_loss(torch.log_softmax(output.float() / self.options.temperature, -1), self._values, micro, self.options)

    def _score(self, step: Step, micros: Sequence[Micro]) -> Sequence[Tensor]:
        """Return the log-probability, the value and the reference's log-probability of each token."""
        found = step.score(micros, self._measured)
        if self._initial is None:
            return [torch.cat([values, values[:, :1]], 1) for values in found]
        with self._initial.in_place():
            before = step.score(micros, self._measured)
        return [torch.cat([values, first[:, :1]], 1) for values, first in zip(found, before, strict=True)]

    def _measured(self, output: Tensor, micro: Micro) -> Tensor:
        assert self._values is not None
        logits = output.float() / self.options.temperature
        return torch.stack([torch.log_softmax(logits, -1).gather(1, micro.labels[:, None]).squeeze(1), self._values], 1)
