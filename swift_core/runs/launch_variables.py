"""Environment variables that other tools read at launch (`NPROC_PER_NODE=4 swift sft …`); plugins apply theirs (`swift_settings`).

A variable with a corresponding option sets that option, unless the command line or its YAML does; a variable without one has no effect.
Both cases are reported in a note.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from swift_core.contract import Settings, UsageError, VerbSpec
from swift_core.plugins import Registry


def apply(verb: VerbSpec, settings: Settings, known: Registry, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Apply launch variables to the settings and return notes for the user.

    Args:
        verb: the verb that is run.
        settings: the settings of the run, changed in place.
        known: the installed plugins, whose hook `swift_settings` is called.
        environment: the variables to read.

    Raises:
        UsageError: a variable has an invalid value.
    """
    answers = known.plugins.ask("swift_settings", verb=verb, settings=settings, environment=environment)
    return [note for _, notes in answers for note in notes or ()]


def set_option(settings: Settings, path: str, value: object, variable: str, *, known: bool, trivial: bool = False) -> Iterator[str]:
    """Set an option from a variable (`NAME=value`) unless the user gives it, and yield a note on what was done.

    `known` says whether the verb has the option, `trivial` whether the value is its default, which needs neither a change nor a note.
    """
    flag = "--" + path.replace("_", "-")
    found = settings.given(path)
    if not known:
        if not trivial:
            yield f"{variable} has no effect on this command"
    elif found is not None:
        if str(found) != str(value):
            yield f"{variable} has no effect: {flag} {found} is given"
    elif not trivial:
        settings.set(path, value)
        yield f"{variable}: using {flag} {value}"


def variable_number(name: str, value: str) -> int:
    """Return the value of a variable as a number; a UsageError if it is not one."""
    if not value.isdecimal():
        hint = "Set it to a number, or unset it and use the option instead."
        raise UsageError(f"must be a number, not '{value}'", code="RUN-014", where=name, hint=hint)
    return int(value)
