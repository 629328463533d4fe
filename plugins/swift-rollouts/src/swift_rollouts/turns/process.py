"""Schedulers and tools in a process of their own, with a time limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from types import TracebackType
from typing import Any

from swift_core.contract import SwiftError, UsageError
from swift_rollouts.turns.scheduler import Conversation, Reply
from swift_rollouts.user_code.choices import CodeChoice
from swift_rollouts.user_code.process import CodeProcess, Ended, TooSlow


class TurnProcess:
    """A context manager that replies to answers from a child process. May be asked from several threads.

    Args:
        scheduler: replies to answers without tool calls; None: such an answer is the last one.
        tools: the functions that the model may call.
        timeout: maximum seconds for a reply.
    """

    def __init__(self, scheduler: CodeChoice | None, tools: Sequence[CodeChoice], timeout: float) -> None:
        self._timeout = timeout
        self._where = "multi_turn_scheduler" if scheduler else "tools"
        first: dict[str, Any] = {"scheduler": asdict(scheduler) if scheduler else None, "tools": [asdict(choice) for choice in tools]}
        first |= {"timeout": 0.9 * timeout}  # of an MCP server, whose message is more exact
        self._process = CodeProcess("swift_rollouts.turns.worker", first, timeout)

    def __enter__(self) -> TurnProcess:
        """Start the process and load the code.

        Raises:
            UsageError: the scheduler or a tool does not exist, can't be imported, or has wrong options.
        """
        self._asked(self._process.__enter__)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.__exit__(kind, error, trace)

    def reply(self, conversation: Conversation) -> Reply:
        """Return what follows the last answer of a conversation.

        Raises:
            UsageError: the scheduler raised an error, returned something else than messages, or took too long.
        """
        return Reply(**self._asked(lambda: self._process.ask(asdict(conversation))))

    def forget(self, conversation: str) -> None:
        """Tell that a conversation is over."""
        with suppress(TooSlow, Ended):  # what it was to forget is gone
            self._process.ask({"forget": conversation})

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except TooSlow:
            message = f"the scheduler or a tool took longer than {self._timeout:g} s for a reply"
            hint = "Correct what hangs, or set a longer --turn-timeout."
            raise UsageError(message, code="RL-036", where=self._where, hint=hint) from None
        except Ended:
            message = "the process of the scheduler and the tools has ended"
            raise SwiftError(message, code="RL-037", where=self._where, hint="See log.txt in the run folder.") from None


def check_turns(scheduler: CodeChoice | None, tools: Sequence[CodeChoice], timeout: float) -> None:
    """Check that scheduler and tools exist and can be loaded; raises as `TurnProcess.__enter__` does."""
    with TurnProcess(scheduler, tools, timeout):
        pass
