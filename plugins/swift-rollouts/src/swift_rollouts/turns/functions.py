"""Schedulers of the user: a function that returns the next message, or a class whose objects are environments."""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from swift_core.contract import UsageError
from swift_rollouts.turns.scheduler import Conversation, Reply

_ROLES = ("user", "tool", "system")
_RETURNS = "Return the text of the next user message, a message or a list of them, or None at the end."
_STEPS = "Return (observation, reward, done): text or None, a finite number or None, and whether the conversation is over."


class FunctionScheduler:
    """`def reply(messages, …)` returns what the user says next, or None at the end.

    It receives those of these arguments that it names, or all if it takes `**kwargs`: `messages` (the conversation), `turns` (answers so
    far), `random` (a seeded `random.Random`), and the fields of the prompt's row.

    Args:
        name: of the function.
        function: the function.
        options: further arguments.
    """

    def __init__(self, name: str, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
        self._name, self._function, self._options = name, function, dict(options)

    def reply(self, conversation: Conversation) -> Reply:
        """Return what the function returns, as messages."""
        known = {"messages": list(conversation.messages), "turns": conversation.turns, "random": random.Random(conversation.seed)}
        return Reply(messages=_messages(self._name, _call(self._function, {**conversation.fields, **known, **self._options})))

    def forget(self, conversation: str) -> None:
        """Do nothing: functions keep nothing."""


class EnvironmentScheduler:
    """A class with `step(answer) -> (observation, reward, done)`; each conversation has an object of its own.

    It is made with those fields of the prompt's row, of the options and of `random` (a seeded `random.Random`) that its constructor names.

    Args:
        name: of the class.
        kind: the class.
        options: further arguments of its constructor.
    """

    def __init__(self, name: str, kind: type, options: Mapping[str, Any]) -> None:
        self._name, self._kind, self._options = name, kind, dict(options)
        self._open: dict[str, Any] = {}

    def reply(self, conversation: Conversation) -> Reply:
        """Return the observation that follows an answer, with its reward."""
        if conversation.id not in self._open:
            known = {**conversation.fields, "random": random.Random(conversation.seed), **self._options}
            self._open[conversation.id] = _call(self._kind, known)
        found = self._open[conversation.id].step(str(conversation.messages[-1]["content"]))
        if not isinstance(found, tuple) or len(found) != 3:
            raise _wrong(self._name, found, _STEPS)
        observation, reward, done = found
        if reward is not None and not (isinstance(reward, int | float) and math.isfinite(reward)):
            raise _wrong(self._name, reward, _STEPS)
        messages = () if done else _messages(self._name, observation)
        return Reply(messages=messages, reward=None if reward is None else float(reward))

    def forget(self, conversation: str) -> None:
        """Close and drop the conversation's object."""
        environment = self._open.pop(conversation, None)
        if callable(close := getattr(environment, "close", None)):
            close()


def user_scheduler(name: str, found: Callable[..., Any], options: Mapping[str, Any]) -> FunctionScheduler | EnvironmentScheduler:
    """Return the scheduler that a function or class of the user is."""
    if isinstance(found, type):
        return EnvironmentScheduler(name, found, options)
    return FunctionScheduler(name, found, options)


def _call(function: Callable[..., Any], known: Mapping[str, Any]) -> Any:
    """Call with those arguments that the function names, or all if it takes `**kwargs`."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return function(**known)
    named = {parameter.name for parameter in parameters}
    return function(**{name: value for name, value in known.items() if name in named})


def _messages(name: str, found: Any) -> Sequence[Mapping[str, Any]]:
    """Return the messages that a scheduler gave: a text is one of the user."""
    if found is None:
        return ()
    if isinstance(found, str):
        return ({"role": "user", "content": found},)
    messages = [found] if isinstance(found, Mapping) else found
    if not isinstance(messages, list | tuple):
        raise _wrong(name, found, _RETURNS)
    for message in messages:
        if not isinstance(message, Mapping) or message.get("role") not in _ROLES or not isinstance(message.get("content"), str):
            raise _wrong(name, message, _RETURNS)
    return tuple(dict(message) for message in messages)


def _wrong(name: str, found: Any, hint: str) -> UsageError:
    shown = repr(found) if len(repr(found)) <= 80 else f"{repr(found)[:80]}…"
    return UsageError(f"the scheduler '{name}' returned {shown}", code="RL-035", where="multi_turn_scheduler", hint=hint)
