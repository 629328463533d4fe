"""Send questions to a checkpoint or a server, and save the answers."""

from __future__ import annotations

import json
from pathlib import Path

import click

from swift_core.cli import Screen, VerbCommand
from swift_core.contract import Run, RunResult


def ask(run: Run, screen: Screen) -> RunResult:
    """Ask, and show the answers."""
    from swift_serve.ask_head import shown

    result = screen.carry_out(run)
    screen.close()
    if not screen.quiet:
        for line in Path(result.output or "").read_text(encoding="utf-8").splitlines():
            item = json.loads(line)
            asked, answer = (item["question"], item["answer"].strip()) if "answer" in item else shown(item)
            click.secho(f"> {asked}", bold=True)
            click.echo(answer + "\n")
    return result


class AskCommand(VerbCommand):
    """`swift ask`."""

    def carry_out(self, run: Run, screen: Screen) -> RunResult:
        """Ask, and show the answers."""
        return ask(run, screen)
