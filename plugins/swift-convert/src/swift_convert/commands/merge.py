"""`swift merge`, also `swift merge-lora`."""

from __future__ import annotations

from swift_core.cli.verb import VerbCommand, carry_out

command = VerbCommand("merge", carry_out, positional="model")
