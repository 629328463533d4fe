"""Load a function or class of the user from a file or module."""

from __future__ import annotations

import importlib
import runpy
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from swift_core.contract import UsageError
from swift_rollouts.user_code.choices import CodeChoice


def has(choice: CodeChoice, where: str) -> bool:
    """Return whether one of its files or modules has what is named."""
    return any(choice.name in names_of(place, where) for place in choice.places)


def load(choice: CodeChoice, where: str) -> Callable[..., Any]:
    """Return what is named, from the first of its files and modules that has it.

    Args:
        choice: names it.
        where: the option, in messages.

    Raises:
        UsageError: a file can't be imported, or none has it.
    """
    known: list[str] = []
    for place in choice.places:
        names = names_of(place, where)
        if choice.name in names:
            return names[choice.name]
        known += names
    hint = f"It has {', '.join(known)}." if known else "Define a function in it."
    raise UsageError(f"'{', '.join(choice.places)}' has no function '{choice.name}'", code="RL-013", where=where, hint=hint)


@cache
def names_of(target: str, where: str) -> Mapping[str, Callable[..., Any]]:
    """Return the functions and classes of a file or module by name, with the entries of its dictionaries, in which tools register them.

    Raises:
        UsageError: it can't be imported.
    """
    try:
        if target.endswith(".py"):
            sys.path.insert(0, str(Path(target).resolve().parent))  # so that it finds the files beside it
            names: Mapping[str, Any] = runpy.run_path(target)
        else:
            sys.path.append(str(Path.cwd()))
            names = vars(importlib.import_module(target))
    except BaseException as error:
        message = f"'{target}' can't be imported: {type(error).__name__}: {error}"
        raise UsageError(message, code="RL-012", where=where, hint="Correct it, or install what it needs.") from error
    own = {name: value for name, value in names.items() if callable(value) and not name.startswith("_")}
    for registry in [value for name, value in names.items() if type(value) is dict and not name.startswith("_")]:
        own |= {name: value for name, value in registry.items() if isinstance(name, str) and callable(value)}
    return own
