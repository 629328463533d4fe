"""The process that computes rewards: `python -m swift_rollouts.rewards.worker`, JSON lines on stdin and stdout.

The first line has the rewards, each further one a batch of answers; each is answered by a line. Whatever a reward prints goes to stderr.
The process ends as soon as stdin is closed, even if a reward hangs.
"""

from __future__ import annotations

import json
import math
import os
import queue
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn, Protocol

from swift_core.contract import SwiftError, UsageError
from swift_rollouts.rewards.choices import RewardChoice
from swift_rollouts.rewards.functions import FunctionReward
from swift_rollouts.rewards.reward import Answered, named_reward


class _Scoring(Protocol):
    def score(self, answers: Sequence[Answered], /) -> Sequence[Any]: ...


def main() -> NoReturn:
    """Answer every line of stdin, until it is closed."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    rewards: dict[str, _Scoring] = {}
    while True:
        line = lines.get()
        try:
            reply: dict[str, Any] = _loaded(json.loads(line), rewards) if not rewards else _scored(json.loads(line), rewards)
        except SwiftError as error:
            reply = {"error": error.to_json()}
        channel.write(json.dumps(reply) + "\n")
        channel.flush()


def _read(lines: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


def _loaded(choices: list[dict[str, Any]], rewards: dict[str, _Scoring]) -> dict[str, Any]:
    for each in choices:
        choice = RewardChoice(**each)
        rewards[choice.name] = FunctionReward(choice) if choice.target else named_reward(choice.name, choice.options)
    return {"names": list(rewards)}


def _scored(batch: list[dict[str, Any]], rewards: dict[str, _Scoring]) -> dict[str, Any]:
    answers = [Answered(**answer) for answer in batch]
    return {"scores": {name: _scores(name, reward, answers) for name, reward in rewards.items()}}


def _scores(name: str, reward: _Scoring, answers: Sequence[Answered]) -> list[float | None]:
    where = f"reward_funcs.{name}"
    try:
        found = reward.score(answers)
    except SwiftError as error:
        raise error.with_context(where=error.where or where) from error
    except ValueError as error:
        raise UsageError(
            f"the reward '{name}' refuses an answer: {error}", code="RL-017", where=where, hint="Correct the rows or the reward."
        ) from error
    except Exception as error:
        traceback.print_exc()
        last = traceback.extract_tb(error.__traceback__)[-1]
        message = f"the reward '{name}' raised {type(error).__name__}: {error} ({last.filename}, line {last.lineno})"
        raise UsageError(message, code="RL-018", where=where, hint="Correct the function; log.txt has its traceback.") from error
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
    main()
