"""The process of schedulers and tools: `python -m swift_rollouts.turns.worker`. They run in several threads."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, Protocol

from swift_core.contract import SwiftError
from swift_rollouts.turns.functions import user_scheduler
from swift_rollouts.turns.scheduler import Conversation, Reply, named_scheduler, scheduler_names
from swift_rollouts.turns.tools import Tools, loaded_tools
from swift_rollouts.user_code import loading
from swift_rollouts.user_code.choices import CodeChoice
from swift_rollouts.user_code.worker import Answer, raised, serve

_STACK = ExitStack()  # left with the process
_THREADS = 64
_WHERE = "multi_turn_scheduler"


class _Replying(Protocol):
    def reply(self, conversation: Conversation, /) -> Reply: ...
    def forget(self, conversation: str, /) -> None: ...


def _load(first: dict[str, Any]) -> tuple[Answer, int]:
    tools = [CodeChoice(**each) for each in first["tools"]]
    called = Tools(_STACK.enter_context(loaded_tools(tools, first["timeout"])))
    choice = CodeChoice(**first["scheduler"]) if first["scheduler"] else None
    scheduler = _scheduler(choice) if choice else None

    def answer(message: dict[str, Any]) -> Any:
        if "forget" in message:
            if scheduler:
                scheduler.forget(message["forget"])
            return None
        conversation = Conversation(**message)
        if tools and (calls := conversation.messages[-1].get("tool_calls")):
            return asdict(Reply(messages=called.results(calls)))
        if choice is None or scheduler is None:
            return asdict(Reply())
        try:
            return asdict(scheduler.reply(conversation))
        except SwiftError:
            raise
        except Exception as error:
            raise raised(error, "scheduler", choice.name, _WHERE) from error

    return answer, _THREADS


def _scheduler(choice: CodeChoice) -> _Replying:
    if choice.target or (choice.name not in scheduler_names() and loading.has(choice, _WHERE)):
        return user_scheduler(choice.name, loading.load(choice, _WHERE), choice.options)
    return named_scheduler(choice.name, choice.options)


if __name__ == "__main__":
    serve(_load)
