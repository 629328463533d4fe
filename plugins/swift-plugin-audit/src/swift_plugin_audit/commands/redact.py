"""`swift audit redact`."""

from __future__ import annotations

from pathlib import Path

import click

from swift_plugin_audit.commands import HEADS, LOG, chosen


@click.command("redact", short_help="Remove sections of entries by age, subject or run; what was removed stays visible")
@click.option("--older-than", "days", type=float, metavar="DAYS", help="Only entries older than this.")
@click.option("--subject", default="", help="Only sections that contain this text, such as a name.")
@click.option("--run", default="", help="Only entries on this run.")
@click.option("--section", "sections", multiple=True, help="Only sections of this name: who, where, asked, data, …; repeatable.")
@click.option("--reason", required=True, help="Why; recorded in the log.")
@click.option("--yes", is_flag=True, help="Remove the sections; without this flag they are only listed.")
@LOG
@HEADS
def command(  # noqa: PLR0917
    days: float | None, subject: str, run: str, sections: tuple[str, ...], reason: str, yes: bool, log: Path | None, heads: Path | None
) -> None:
    """Remove sections of entries. Their hashes stay, with a new entry on what was removed, by whom and why, so that the log still verifies.

    Conditions are combined with "and". Don't write personal data into --reason.
    """
    from swift_plugin_audit.redact import Selection, redact, select

    here = chosen(log, heads)
    found = select(here, Selection(days=days, subject=subject, run=run, sections=sections))
    for seq, names in found.items():
        click.echo(f"entry {seq}: {', '.join(names)}")
    count = sum(map(len, found.values()))
    if not count:
        click.echo("nothing to remove")
    elif yes:
        redact(here, found, reason)
        click.echo(f"removed: {count} sections")
    else:
        click.echo(f"{count} sections would be removed; add --yes")
