"""`swift ask`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from swift_core.cli.screen import Screen
from swift_core.cli.verb import VerbCommand, carry_out
from swift_core.contract.run import Run, RunResult


def ask(run: Run, screen: Screen) -> RunResult:
    """Ask the questions and print the answers."""
    result = carry_out(run, screen)
    screen.close()
    if not screen.quiet:
        for line in Path(result.output or "").read_text(encoding="utf-8").splitlines():
            item = json.loads(line)
            click.secho(f"> {item['question']}", bold=True)
            click.echo(item["answer"].strip() + "\n")
    return result


command = VerbCommand("ask", ask, positional="model")
