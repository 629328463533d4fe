"""The frame of the command line: the command `swift`, commands of verbs, progress and messages."""

from __future__ import annotations

from swift_core.system import interrupts  # noqa: F401 (first, so that `python -m swift_core.cli` can be interrupted from here on)

# isort: split
from typing import TYPE_CHECKING

from swift_core.lazy import door

if TYPE_CHECKING:
    from swift_core.cli.group import cli as cli, help_text as help_text, invoke as invoke, main as main
    from swift_core.cli.output import (
        note as note,
        print_error as print_error,
        print_table as print_table,
        printable as printable,
    )
    from swift_core.cli.provision import resolve_with_engines as resolve_with_engines
    from swift_core.cli.screen import Screen as Screen
    from swift_core.cli.verb import FlagsCommand as FlagsCommand, VerbCommand as VerbCommand, command_for as command_for

__getattr__, __dir__ = door(
    __name__,
    {
        "group": "cli help_text invoke main",
        "output": "note print_error print_table printable",
        "provision": "resolve_with_engines",
        "screen": "Screen",
        "verb": "FlagsCommand VerbCommand command_for",
    },
)
