"""`swift data check`: statistics on datasets, and the problems in them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from swift_core.cli import Screen
from swift_core.contract import Settings, VerbSpec
from swift_data.commands.command import DataCommand
from swift_data.verbs import CHECK

if TYPE_CHECKING:
    from swift_data.check import DataCheck

HELP = """Check datasets before training: formats, lengths, invalid rows, duplicates, and validation rows among the training rows.

With --model, rows are also tokenised, truncated and masked as in training. Exits with 0 if there are no problems, with 1 if a run would
fail or give misleading results; duplicates alone are only a warning."""


def check(verb: VerbSpec, settings: Settings, screen: Screen) -> int:
    """Check the datasets and print the result."""
    from swift_data import check as data_check
    from swift_data.task import resolve_rows

    rows = resolve_rows(verb, settings, progress=screen.download)
    for text in rows.notes:
        screen.note(text)
    found = data_check.check(rows.run, rows.kinds, screen.watch)
    if rows.run.model and found.unit != "tokens":
        who = f"the task {found.task} does not tokenise" if found.task else "no installed task tokenises"
        screen.note(f"{who} these rows here: lengths are in characters")
    screen.close()
    if screen.quiet:
        click.echo(json.dumps(found.to_json(), ensure_ascii=False))
    else:
        _print(found)
    return 1 if found.problems else 0


def _print(found: DataCheck) -> None:
    from swift_data.commands.report import same_lines, set_lines

    for held_out, sets in ((False, found.train), (True, found.validation)):
        for each in sets:
            click.secho(f"{each.name}{' (validation)' if held_out else ''}", bold=True)
            for line in set_lines(each, found):
                click.echo(line)
            click.echo()
    for line in same_lines(found):
        click.echo(line)
    for text in found.warnings:
        click.secho(f"warning: {text}", fg="yellow")
    for text in found.problems:
        click.secho(f"problem: {text}", fg="red", bold=True)
    if not found.problems:
        click.secho("no problems found", fg="green")


command = DataCommand(CHECK, check, HELP)
