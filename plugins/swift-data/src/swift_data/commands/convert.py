"""`swift data convert`: write datasets as canonical JSONL."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from swift_core.cli import Screen
from swift_core.contract import Settings, VerbSpec
from swift_data.commands.command import DataCommand
from swift_data.verbs import CONVERT

HELP = """Convert datasets to one JSONL file in the canonical format of their kind, whatever their source format.

An invalid row stops the conversion; with --data.on-error skip, such rows are skipped and listed in OUTPUT.skipped."""


def convert(verb: VerbSpec, settings: Settings, screen: Screen) -> int:
    """Convert the datasets and print a summary."""
    from swift_core.runs import resolve
    from swift_data import convert as data_convert

    resolved = resolve(verb, settings, progress=screen.download)
    done = data_convert.convert(resolved.run, screen.watch)
    screen.close()
    if screen.quiet:
        click.echo(json.dumps(asdict(done), ensure_ascii=False))
        return 0
    click.echo(f"{done.output}: {done.rows:,} {done.kind} rows")
    if done.skipped:
        click.echo(f"{done.skipped_in}: {done.skipped:,} invalid rows skipped")
    if done.overlapping:
        click.echo(f"left out: {done.overlapping:,} rows that contain a question of the evaluation data")
    for reason, count in done.left_out.items():
        click.echo(f"left out: {count:,} rows, {reason}")
    return 0


command = DataCommand(CONVERT, convert, HELP)
