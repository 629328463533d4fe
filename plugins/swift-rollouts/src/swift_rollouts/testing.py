"""Checks of rewards and schedulers, for their authors: what a training relies on, run as a training runs them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from swift_rollouts.rewards.process import RewardProcess
from swift_rollouts.rewards.reward import Answered
from swift_rollouts.turns.process import TurnProcess
from swift_rollouts.turns.scheduler import Conversation
from swift_rollouts.user_code.choices import CodeChoice

_TIMEOUT = 60.0
_MOST_TURNS = 100
_USUAL = (
    Answered(text="The answer is 4.", ids=(1, 2, 3, 4, 5), messages=({"role": "user", "content": "2 + 2?"},), fields={"solution": "4"}),
    Answered(text="", ids=(), messages=({"role": "user", "content": "2 + 2?"},), fields={"solution": "4"}),
    Answered(text="naïve ∎ 😀", ids=range(9), finish="length", fields={"solution": "4"}),
)


def check_reward(name: str, options: Mapping[str, Any] | None = None, answers: Sequence[Answered] = _USUAL) -> list[float | None]:
    """Check a reward by name, and return its scores.

    Args:
        name: in the entry-point group `swift.rewards`.
        options: those that it needs.
        answers: with the fields that it needs; by default three answers to a sum, one of them empty, one cut.

    Raises:
        AssertionError: the scores depend on the order of the answers, or on what was scored before.
        SwiftError: it can't be loaded, raises an error, or returns something else than numbers.
    """
    with RewardProcess([CodeChoice(name, dict(options or {}))], _TIMEOUT) as process:
        first, again = (process.score(answers)[name] for _ in range(2))
        backwards = process.score(list(reversed(answers)))[name]
        assert process.score([])[name] == [], "no answers must have no scores"
    assert _same(first, again), f"the same answers got {first}, then {again}: a resumed run would train on other rewards"
    assert _same(first, list(reversed(backwards))), f"the scores depend on the order of the answers: {first}, {backwards} backwards"
    return first


def check_scheduler(
    name: str, options: Mapping[str, Any] | None = None, answer: str = "I don't know.", fields: Mapping[str, Any] | None = None
) -> list[Mapping[str, Any]]:
    """Check a scheduler by name in two conversations at once, and return the messages of one, in which the model always says the same.

    Args:
        name: in the entry-point group `swift.rollouts`.
        options: those that it needs.
        answer: what the model says.
        fields: other fields of the prompt's row.

    Raises:
        AssertionError: it does not end, or the conversations differ although their seeds do not.
        SwiftError: it can't be loaded, raises an error, or returns something else than messages.
    """
    found: list[list[Mapping[str, Any]]] = [[{"role": "user", "content": "Begin."}] for _ in range(2)]
    open_ = {0, 1}
    with TurnProcess(CodeChoice(name, dict(options or {})), [], _TIMEOUT) as process:
        for turn in range(1, _MOST_TURNS + 1):
            for place in sorted(open_):
                found[place].append({"role": "assistant", "content": answer})
                conversation = Conversation(id=str(place), messages=found[place], fields=fields or {}, turns=turn, seed=turn)
                reply = process.reply(conversation)
                assert reply.reward is None or math.isfinite(reply.reward), f"the reward is {reply.reward}"
                for message in reply.messages:
                    assert message.get("role") in {"user", "tool", "system"}, f"a reply is no message of a user, tool or system: {message}"
                    assert isinstance(message.get("content"), str), f"the content of a reply is no text: {message}"
                found[place] += reply.messages
                if not reply.messages:
                    open_.discard(place)
                    process.forget(str(place))
    assert not open_, f"it still replies after {_MOST_TURNS} answers"
    assert found[0] == found[1], "two conversations with the same seeds and answers differ: a resumed run would be another one"
    return found[0]


def _same(one: Sequence[float | None], other: Sequence[float | None]) -> bool:
    return len(one) == len(other) and all(
        a == b or (a is not None and b is not None and math.isclose(a, b, abs_tol=1e-6)) for a, b in zip(one, other, strict=True)
    )
