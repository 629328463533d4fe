"""Rewards in a process of their own, with a time limit."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any

from swift_core.contract import SwiftError, UsageError
from swift_rollouts.rewards.reward import Answered
from swift_rollouts.user_code.choices import CodeChoice
from swift_rollouts.user_code.process import CodeProcess, Ended, TooSlow


class RewardProcess:
    """A context manager that scores answers in a child process.

    Args:
        choices: the rewards.
        timeout: maximum seconds for a batch of answers.
    """

    def __init__(self, choices: Sequence[CodeChoice], timeout: float) -> None:
        self._names, self._timeout = ", ".join(choice.name for choice in choices), timeout
        self._lock = threading.Lock()  # a batch at a time: each has the whole time limit
        self._process = CodeProcess("swift_rollouts.rewards.worker", [asdict(choice) for choice in choices], timeout)

    def __enter__(self) -> RewardProcess:
        """Start the process and load the rewards.

        Raises:
            UsageError: a reward does not exist, can't be imported, or has wrong options.
        """
        self._asked(self._process.__enter__)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.__exit__(kind, error, trace)

    def score(self, answers: Sequence[Answered]) -> dict[str, list[float | None]]:
        """Return the scores of each reward by its name. May be called from any thread.

        Raises:
            UsageError: a reward raised an error, returned something else than numbers, or took too long.
        """
        given = [{**asdict(answer), "ids": list(answer.ids)} for answer in answers]
        with self._lock:
            scores: dict[str, list[float | None]] = self._asked(lambda: self._process.ask(given))
        return scores

    def _asked(self, ask: Any) -> Any:
        try:
            return ask()
        except TooSlow:
            hint = "Correct the one that hangs, or set a longer --reward-timeout."
            message = f"the rewards took longer than {self._timeout:g} s: {self._names}"
            raise UsageError(message, code="RL-014", where="reward_funcs", hint=hint) from None
        except Ended:
            raise SwiftError(
                "the process of the rewards has ended", code="RL-015", where="reward_funcs", hint="See log.txt in the run folder."
            ) from None


def check_rewards(choices: Sequence[CodeChoice], timeout: float) -> None:
    """Check that the rewards exist and can be loaded; raises as `RewardProcess.__enter__` does."""
    with RewardProcess(choices, timeout):
        pass
