"""Reward functions of the user, called as TRL and ms-swift call theirs: with lists, by keyword."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from swift_rollouts.rewards.reward import Answered


class FunctionReward:
    """A function `(completions, …) -> scores`, which may be a coroutine; a class is instantiated and called.

    It receives those of these arguments that it names, or all if it takes `**kwargs`: `completions` (texts), `prompts` (conversations),
    `completion_ids` (token ids), `finish_reasons`, `turns` (the messages after the prompt), and each field of the rows as a list.

    Args:
        found: the function or class.
        options: further arguments.
    """

    def __init__(self, found: Callable[..., Any], options: Mapping[str, Any]) -> None:
        self._function: Callable[..., Any] = found() if isinstance(found, type) else found
        parameters = inspect.signature(self._function).parameters.values()
        takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
        self._names = None if takes_all else {parameter.name for parameter in parameters}
        self._options = dict(options)

    def score(self, answers: Sequence[Answered]) -> Sequence[Any]:
        """Return what the function returns."""
        fields = dict.fromkeys(name for answer in answers for name in answer.fields)
        arguments: dict[str, Any] = {name: [answer.fields.get(name) for answer in answers] for name in fields}
        arguments |= {
            "completions": [answer.text for answer in answers],
            "prompts": [list(answer.messages) for answer in answers],
            "completion_ids": [list(answer.ids) for answer in answers],
            "finish_reasons": [answer.finish for answer in answers],
            "turns": [list(answer.turns) for answer in answers],
            **self._options,
        }
        given = {name: value for name, value in arguments.items() if self._names is None or name in self._names}
        found = self._function(**given)
        return list(asyncio.run(found) if inspect.iscoroutine(found) else found)
