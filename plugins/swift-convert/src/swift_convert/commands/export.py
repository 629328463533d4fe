"""`swift export`."""

from __future__ import annotations

from swift_core.cli.verb import VerbCommand, carry_out

command = VerbCommand("export", carry_out, positional="model")
