"""Sample answers of several turns: the model answers, a scheduler or tools reply, and so on, until they end the conversation.

Prompts and replies are tokenised once, and sampled tokens never: each request has the token ids of all that came before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from swift_data.rows import ChatRow
from swift_http.tools import ToolParser

from swift_rollouts.generation import Answer
from swift_rollouts.threads import in_threads
from swift_rollouts.turns.between import ids_between
from swift_rollouts.turns.scheduler import Conversation

if TYPE_CHECKING:
    from swift_train.chat_template import ChatTemplate

    from swift_rollouts.engine import Engine
    from swift_rollouts.prompts import PromptFacts
    from swift_rollouts.turns.process import TurnProcess

_SEEDS = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversations:
    """Samples the answers to a prompt.

    Attributes:
        engine: is asked for the answers.
        process: replies to them.
        template: of the model.
        facts: of the prompts, by index.
        tools: definitions of the tools, for rows that have none.
        parser: finds tool calls in an answer; None: there are no tools.
        max_turns: maximum answers of the model in a conversation.
        last_turn: whether only the last answer of a conversation is trained.
    """

    engine: Engine
    process: TurnProcess
    template: ChatTemplate
    facts: Sequence[PromptFacts]
    tools: Sequence[Mapping[str, Any]]
    parser: ToolParser | None
    max_turns: int
    last_turn: bool = False

    def answers(self, prompt: int, ids: Sequence[int], count: int, *, model: str, seed: int) -> list[Answer]:
        """Return answers to a prompt, each with all of its turns.

        Args:
            prompt: index of the prompt.
            ids: token ids of the prompt.
            count: number of answers.
            model: name of the model or adapter on the server.
            seed: of the first answer.

        Raises:
            UsageError: the engine or the scheduler does not answer as it should.
            SwiftError: the server failed.
        """
        found = self.engine.answers(ids, count, model=model, seed=seed)
        for place, whole in in_threads(lambda place: self._trained(prompt, ids, found[place], model, seed + place), range(count), count):
            found[place] = whole
        return found

    def _trained(self, prompt: int, ids: Sequence[int], answer: Answer, model: str, seed: int) -> Answer:
        """Return an answer with the turns that follow it, of which the trained ones are marked."""
        whole = self._whole(prompt, ids, answer, model, seed)
        if self.last_turn and 0 in whole.mask:
            other = len(whole.mask) - whole.mask[::-1].index(0)  # after the last token that is a reply
            whole.mask[:other] = [0] * other
        return whole

    def _whole(self, prompt: int, ids: Sequence[int], answer: Answer, model: str, seed: int) -> Answer:
        """Return an answer with the turns that follow it."""
        facts, name = self.facts[prompt], f"{model}-{seed}"
        template = self.template.for_row(ChatRow((), variables=facts.variables))
        whole = Answer([], [], "", answer.finish)
        turns = 0
        try:
            while True:
                turns += 1
                said = self._message(answer)
                _append(whole, answer.ids, answer.logprobs, [said], sampled=1)
                whole.text, whole.finish = answer.text, answer.finish
                last = answer.finish == "length" or turns == self.max_turns
                if last and said.get("tool_calls"):
                    return whole
                conversation = Conversation(
                    id=name, messages=[*facts.messages, *whole.turns], fields=facts.fields, turns=turns, seed=_turn_seed(seed, turns)
                )
                reply = self.process.reply(conversation)
                if reply.reward is not None:
                    whole.environment = (whole.environment or 0.0) + reply.reward
                if last or not reply.messages:
                    return whole
                between = ids_between(template, said, reply.messages, facts.tools or self.tools or None)
                left = self.engine.options.max_completion_length - len(whole.ids) - len(between)
                if left < 1:
                    whole.finish = "length"
                    return whole
                _append(whole, between, [0.0] * len(between), reply.messages, sampled=0)
                so_far = [*ids, *whole.ids]
                (answer,) = self.engine.answers(so_far, 1, model=model, seed=_turn_seed(seed, turns), max_tokens=left)
        finally:
            self.process.forget(name)

    def _message(self, answer: Answer) -> dict[str, Any]:
        """Return an answer as a message, with its tool calls."""
        if self.parser is None:
            return {"role": "assistant", "content": answer.text}
        text = str(self.template.tokenizer.decode(answer.ids, skip_special_tokens=False))
        places = [text.find(marker) for marker in self.parser.markers if marker in text]
        calls = self.parser.calls(_without(text[min(places) :], self.template.stops)) if places else []
        if not calls:
            return {"role": "assistant", "content": answer.text}
        called = [
            {"id": f"call{number:05}", "type": "function", "function": {"name": call.name, "arguments": json.loads(call.arguments)}}
            for number, call in enumerate(calls)
        ]
        return {"role": "assistant", "content": text[: min(places)].strip(), "tool_calls": called}


def _append(whole: Answer, ids: Sequence[int], logprobs: Sequence[float], said: Sequence[Mapping[str, Any]], *, sampled: int) -> None:
    """Add tokens that the model has sampled, or not (0), and the messages that they are."""
    whole.ids += ids
    whole.logprobs += logprobs
    whole.mask += [sampled] * len(ids)
    whole.turns += [dict(message) for message in said]


def _without(text: str, stops: Sequence[str]) -> str:
    """Return a text without the end-of-turn token."""
    text = text.rstrip()
    return next((text.removesuffix(stop) for stop in stops if text.endswith(stop)), text)


def _turn_seed(seed: int, turn: int) -> int:
    return int(np.random.SeedSequence((seed, turn)).generate_state(1)[0]) % _SEEDS
