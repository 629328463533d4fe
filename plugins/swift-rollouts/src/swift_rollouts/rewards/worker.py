"""The process that computes rewards: `python -m swift_rollouts.rewards.worker`. They run in its main thread, one batch at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from swift_core.contract import SwiftError, UsageError
from swift_rollouts.rewards.functions import FunctionReward
from swift_rollouts.rewards.reward import Answered, named_reward, reward_names
from swift_rollouts.user_code import loading
from swift_rollouts.user_code.choices import CodeChoice
from swift_rollouts.user_code.worker import Answer, raised, serve


class _Scoring(Protocol):
    def score(self, answers: Sequence[Answered], /) -> Sequence[Any]: ...


def _load(choices: list[dict[str, Any]]) -> tuple[Answer, int]:
    rewards = {choice.name: _reward(choice) for choice in (CodeChoice(**each) for each in choices)}

    def score(batch: list[dict[str, Any]]) -> dict[str, list[float | None]]:
        answers = [Answered(**answer) for answer in batch]
        return {name: _scores(name, reward, answers) for name, reward in rewards.items()}

    return score, 0


def _reward(choice: CodeChoice) -> _Scoring:
    where = f"reward_funcs.{choice.name}"
    if choice.target or (choice.name not in reward_names() and loading.has(choice, where)):
        return FunctionReward(loading.load(choice, where), choice.options)
    return named_reward(choice.name, choice.options)


def _scores(name: str, reward: _Scoring, answers: Sequence[Answered]) -> list[float | None]:
    where = f"reward_funcs.{name}"
    try:
        found = reward.score(answers)
    except SwiftError as error:
        raise error.with_context(where=error.where or where) from error
    except ValueError as error:
        raise UsageError(
            f"the reward '{name}' rejected an answer: {error}", code="RL-017", where=where, hint="Correct the rows or the reward."
        ) from error
    except Exception as error:
        raise raised(error, "reward", name, where) from error
    if len(found) != len(answers):
        message = f"the reward '{name}' returned {len(found)} scores for {len(answers)} answers"
        raise UsageError(message, code="RL-019", where=where, hint="Return a list with a number, or None, for each answer.")
    return [_number(name, score, answer) for score, answer in zip(found, answers, strict=True)]


def _number(name: str, score: Any, answer: Answered) -> float | None:
    if score is None:
        return None
    try:
        value = math.nan if isinstance(score, str | bytes) else float(score)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        shown = answer.text if len(answer.text) <= 80 else answer.text[:80] + "…"
        message = f"the reward '{name}' returned {score!r} for the answer {shown!r}"
        raise UsageError(
            message, code="RL-020", where=f"reward_funcs.{name}", hint="Return a finite number, or None where it does not apply."
        )
    return value


if __name__ == "__main__":
    serve(_load)
