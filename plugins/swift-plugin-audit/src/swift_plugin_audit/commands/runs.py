"""Prune run folders."""

from __future__ import annotations

from pathlib import Path

import click

from swift_core.contract import UsageError
from swift_plugin_audit.commands import HEADS, LOG, chosen


@click.group("runs", short_help="Prune run folders")
def command() -> None:
    """Prune run folders."""


@command.command("prune", short_help="Remove run folders by age or subject, leaving a tombstone")
@click.option("--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Parent folder of the run folders.")
@click.option("--older-than", "days", type=float, metavar="DAYS", help="Only runs that ended longer ago.")
@click.option("--subject", default="", help="Only runs with this text in one of their text files, such as a name.")
@click.option("--reason", required=True, help="Why; recorded in the log and in the tombstone.")
@click.option("--yes", is_flag=True, help="Remove the sections; without this flag they are only listed.")
@LOG
@HEADS
def prune(runs: Path, days: float | None, subject: str, reason: str, yes: bool, log: Path | None, heads: Path | None) -> None:  # noqa: PLR0917
    """Remove the contents of run folders, checkpoints included.

    Each run folder keeps tombstone.json with the hashes of its former contents, and an entry is added to the audit log; `swift audit
    verify --runs RUNS` compares them. Unfinished runs are kept, and so are runs whose result is the base of a remaining run.
    """
    from swift_plugin_audit import prune as pruning

    if days is None and not subject:
        raise UsageError("no condition given", code="AUDIT-011", where="swift runs prune", hint="Give --older-than or --subject.")
    if not runs.is_dir():
        raise UsageError("there is no such folder", code="AUDIT-012", where=str(runs), hint="Name the folder with the run folders: --runs.")
    here, size = chosen(log, heads), 0
    for ended in pruning.find(runs, days=days, subject=subject):
        if yes:
            pruning.remove(ended, here, reason)
        size += ended.size
        click.echo(f"{ended.size:>15,}  {ended.folder}")
    click.echo(f"{size:>15,}  bytes {'removed' if yes else 'would be removed; add --yes'}")
