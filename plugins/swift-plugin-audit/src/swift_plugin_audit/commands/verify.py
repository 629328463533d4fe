"""`swift audit verify`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from swift_plugin_audit.commands import HEADS, JSON, LOG, chosen


@click.command("verify", short_help="Check that no entry was changed, removed, inserted or reordered")
@LOG
@HEADS
@click.option("--key", type=click.Path(path_type=Path), help="Public key of the signer (PEM); default: the one beside your own key.")
@click.option("--runs", type=click.Path(path_type=Path), help="Also compare the signed heads and tombstones in these run folders.")
@JSON
def command(log: Path | None, heads: Path | None, key: Path | None, runs: Path | None, as_json: bool) -> int:
    """Check that no entry was changed, removed, inserted or reordered, and that the end was not cut off; name the first bad line.

    Exits with 0 if the log is intact, with 1 if it is not.
    """
    from swift_plugin_audit.verify import verify

    found = verify(chosen(log, heads), public=key, runs=runs)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
        return 0 if found.holds else 1
    click.echo(f"entries: {found.entries}, of which {found.signed} are signed ({found.heads} heads)")
    if found.removed:
        click.echo(f"removed sections: {found.removed}")
    for run in found.open:
        click.echo(f"no end: {run}")
    for text in found.notes:
        click.secho(f"note: {text}", fg="yellow")
    for text in found.problems:
        click.secho(f"problem: {text}", fg="red", bold=True)
    if found.holds:
        click.secho("the log holds", fg="green")
    elif found.line:
        click.secho(f"first bad line: {found.line}", fg="red", bold=True)
    return 0 if found.holds else 1
