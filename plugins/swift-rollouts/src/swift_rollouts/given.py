"""Answers of the rows in place of sampled ones, for a part of the prompts: distillation on both (Agarwal et al. 2023, arXiv:2306.13649)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from swift_data.rows import ChatRow
from swift_data.rows.conversations import with_default_system
from swift_train.turns import locate

from swift_core.contract import UsageError
from swift_rollouts.generation import Answer

if TYPE_CHECKING:
    from swift_train.chat_template import ChatTemplate

    from swift_rollouts.prompts import PromptFacts
    from swift_rollouts.sampling import Answers


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenAnswers:
    """Returns a row's own answer, or one that is sampled.

    Attributes:
        sampled: samples answers.
        share: of the prompts whose answers are sampled, drawn by the seed of each.
        template: of the model.
        facts: of the prompts, by index.
        system: default system prompt.
        longest: maximum tokens of an answer.
    """

    sampled: Answers
    share: float
    template: ChatTemplate
    facts: Sequence[PromptFacts]
    system: str
    longest: int

    def answers(self, prompt: int, ids: Sequence[int], count: int, *, model: str, seed: int) -> list[Answer]:
        """Return answers to a prompt; arguments as in `swift_rollouts.sampling.Answers`.

        Raises:
            UsageError: the row has no answer.
        """
        if np.random.default_rng((seed, 1)).random() < self.share:
            return self.sampled(prompt, ids, count, model=model, seed=seed)
        return [self._given(self.facts[prompt]) for _ in range(count)]

    def _given(self, facts: PromptFacts) -> Answer:
        if facts.answer is None:
            hint = "Give chat rows, whose last message is the answer; or sample every answer: --lmbda 1."
            raise UsageError("a row has no answer", code="RL-042", where="lmbda", hint=hint)
        messages = [*with_default_system(tuple(facts.messages), self.system), facts.answer]
        turn = locate(self.template.for_row(ChatRow((), variables=facts.variables)), messages, facts.tools, len(messages) - 1)
        text = turn.text[turn.start : turn.stop]
        ids = list(self.template.tokenizer(text, add_special_tokens=False)["input_ids"])
        finish = "length" if len(ids) > self.longest else "stop"
        ids = ids[: self.longest]
        return Answer(ids, [0.0] * len(ids), str(facts.answer.get("content") or ""), finish, given=True)
