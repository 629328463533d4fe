"""Rewards in a process of their own, with a time limit: whatever they do, the training goes on or ends with a message."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from types import TracebackType
from typing import IO, Any

from swift_core.contract import SwiftError, UsageError
from swift_core.runs import error_of
from swift_core.system import supervisor
from swift_rollouts.rewards.choices import RewardChoice
from swift_rollouts.rewards.reward import Answered

_LOADING = 120.0  # seconds at least for starting Python and importing the rewards


class RewardProcess:
    """A context manager that scores answers in a child process.

    Args:
        choices: the rewards.
        timeout: maximum seconds for a batch of answers.
    """

    def __init__(self, choices: Sequence[RewardChoice], timeout: float) -> None:
        self._choices, self._timeout = list(choices), timeout
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._replies: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def __enter__(self) -> RewardProcess:
        """Start the process and load the rewards.

        Raises:
            UsageError: a reward does not exist, can't be imported, or has wrong options.
        """
        argv = [sys.executable, "-P", "-m", "swift_rollouts.rewards.worker"]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        threading.Thread(target=_read, args=(self._process.stdout, self._replies), daemon=True).start()
        try:
            self._ask([asdict(choice) for choice in self._choices], max(self._timeout, _LOADING))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def score(self, answers: Sequence[Answered]) -> dict[str, list[float | None]]:
        """Return the scores of each reward by its name. May be called from any thread.

        Raises:
            UsageError: a reward raised an error, returned something else than numbers, or took too long.
        """
        with self._lock:
            message = [{**asdict(answer), "ids": list(answer.ids)} for answer in answers]
            scores: dict[str, list[float | None]] = self._ask(message, self._timeout)["scores"]
        return scores

    def _ask(self, message: Any, limit: float) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message, ensure_ascii=False, default=str).encode("utf-8", "replace") + b"\n")
            self._process.stdin.flush()
            reply = self._replies.get(timeout=limit)
        except queue.Empty:
            self._end()
            names = ", ".join(choice.name for choice in self._choices)
            hint = "Correct the one that hangs, or set a longer --reward-timeout."
            raise UsageError(f"the rewards took longer than {limit:g} s: {names}", code="RL-014", where="reward_funcs", hint=hint) from None
        except OSError:
            reply = None
        if reply is None:
            raise SwiftError(
                "the process of the rewards has ended", code="RL-015", where="reward_funcs", hint="See log.txt in the run folder."
            )
        found: dict[str, Any] = json.loads(reply)
        if "error" in found:
            raise error_of(found["error"])
        return found

    def _end(self) -> None:
        if self._process:
            supervisor.signal_group(self._process, signal.SIGKILL)
            self._process.wait()


def _read(stream: IO[bytes] | None, replies: queue.SimpleQueue[bytes | None]) -> None:
    for line in stream or ():
        replies.put(line)
    replies.put(None)


def check_rewards(choices: Sequence[RewardChoice], timeout: float) -> None:
    """Check that the rewards exist and can be loaded; raises as `RewardProcess.__enter__` does."""
    with RewardProcess(choices, timeout):
        pass
