"""`swift plugins show`: show one plugin in detail."""

from __future__ import annotations

import json
from typing import Any

import click

from swift_core.cli.output import print_table
from swift_core.cli.plugins.records import records


@click.command("show", short_help="Show one plugin in detail")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str, as_json: bool) -> None:
    """Show the plugin NAME (or its distribution) in detail, with the traceback if it is broken."""
    found = records(name)
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print(found[0])


def _print(record: dict[str, Any]) -> None:
    click.secho(f"{record['name']}  ({record['distribution']} {record['version']})", bold=True)
    if record["failure"]:
        click.echo(f"BROKEN: {record['failure']}\n\n{record['trace']}")
    click.echo(f"hooks: {', '.join(record['hooks'])}")
    if record["offers"]:
        print_table(
            ("kind", "name", "summary"),
            [
                (
                    offer["kind"],
                    offer["name"],
                    offer["summary"] + (f"  [engine not installed: {offer['missing']}]" if offer["missing"] else ""),
                )
                for offer in record["offers"]
            ],
        )
    for text in record["clashes"]:
        click.echo(f"clash: {text}")
    for hint in dict.fromkeys(offer["hint"] for offer in record["offers"] if offer["missing"]):
        click.echo(f"to install the engine: {hint}")
