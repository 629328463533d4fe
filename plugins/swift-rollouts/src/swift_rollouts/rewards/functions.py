"""Reward functions of the user, called as TRL and ms-swift call theirs: with lists, by keyword."""

from __future__ import annotations

import importlib
import inspect
import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from swift_core.contract import UsageError
from swift_rollouts.rewards.choices import RewardChoice
from swift_rollouts.rewards.reward import Answered


class FunctionReward:
    """A function `(completions, …) -> scores`; a class is instantiated and called.

    It receives those of these arguments that it names, or all if it takes `**kwargs`: `completions` (texts), `prompts` (conversations),
    `completion_ids` (token ids), `finish_reasons`, and each field of the rows as a list.
    """

    def __init__(self, choice: RewardChoice) -> None:
        found = _found(choice)
        self._function: Callable[..., Sequence[Any]] = found() if isinstance(found, type) else found
        parameters = inspect.signature(self._function).parameters.values()
        takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
        self._names = None if takes_all else {parameter.name for parameter in parameters}
        self._options = dict(choice.options)

    def score(self, answers: Sequence[Answered]) -> Sequence[Any]:
        """Return what the function returns."""
        fields = dict.fromkeys(name for answer in answers for name in answer.fields)
        arguments: dict[str, Any] = {name: [answer.fields.get(name) for answer in answers] for name in fields}
        arguments |= {
            "completions": [answer.text for answer in answers],
            "prompts": [list(answer.messages) for answer in answers],
            "completion_ids": [list(answer.ids) for answer in answers],
            "finish_reasons": [answer.finish for answer in answers],
            **self._options,
        }
        given = {name: value for name, value in arguments.items() if self._names is None or name in self._names}
        return list(self._function(**given))


def _found(choice: RewardChoice) -> Callable[..., Any]:
    where = f"reward_funcs.{choice.name}"
    try:
        if choice.file:
            sys.path.insert(0, str(choice.file.resolve().parent))  # so that it finds the files beside it
            names: Mapping[str, Any] = runpy.run_path(str(choice.file))
        else:
            sys.path.append(str(Path.cwd()))
            names = vars(importlib.import_module(choice.target))
    except BaseException as error:
        message = f"'{choice.target}' can't be imported: {type(error).__name__}: {error}"
        raise UsageError(message, code="RL-012", where=where, hint="Correct it, or install what it needs.") from error
    if not callable(names.get(choice.name)):
        known = [name for name, value in names.items() if callable(value) and not name.startswith("_")]
        hint = f"It has {', '.join(known)}." if known else "Define a function in it."
        raise UsageError(f"'{choice.target}' has no function '{choice.name}'", code="RL-013", where=where, hint=hint)
    function: Callable[..., Any] = names[choice.name]
    return function
