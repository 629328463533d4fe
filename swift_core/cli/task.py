"""`swift TASK`: the training of a task that a plugin brings."""

from __future__ import annotations

from swift_core.cli.verb import VerbCommand, carry_out
from swift_core.tasks import task_verb


def command_for(name: str) -> VerbCommand | None:
    """The command of an installed task; None where none has that name."""
    verb = task_verb(name)
    return VerbCommand(verb, carry_out, positional="model") if verb else None
