"""`swift plugins list`: list the plugins, the parts that they offer, and those that could be installed."""

from __future__ import annotations

import json
from typing import Any

import click

from swift_core.cli.output import print_table
from swift_core.cli.plugins.records import records
from swift_core.plugins import catalogue, registry


@click.command("list", short_help="List the installed plugins")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """List the installed plugins and their problems."""
    found = records()
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print(found)


def _print(records: list[dict[str, Any]]) -> None:
    rows = []
    for record in records:
        if record["failure"]:
            text = f"BROKEN: {record['failure']}"
        else:
            kinds: dict[str, list[str]] = {}
            for offer in record["offers"]:
                kinds.setdefault(offer["kind"], []).append(offer["name"] + _engine(offer))
            text = "; ".join(f"{kind} {', '.join(names)}" for kind, names in kinds.items()) or ", ".join(record["hooks"])
        rows.append((record["name"], f"{record['distribution']} {record['version']}", text))
    print_table(("plugin", "from", "offers"), rows)
    for record in records:
        for offer in record["offers"]:
            if offer["missing"]:
                click.echo(f"{offer['kind']} {offer['name']}: its engine is not installed here ({offer['missing']}). {offer['hint']}")
    for text in dict.fromkeys(text for record in records for text in record["clashes"]):
        click.echo(f"clash: {text}")
    left_out = registry().plugins.left_out
    if left_out:
        click.echo(f"disabled by SWIFT_LOAD_PLUGINS or SWIFT_BLOCK_PLUGINS: {', '.join(left_out)}")
    here = {record["distribution"] for record in records} | set(left_out.values())
    more = sorted({home for names in catalogue().values() for home in names.values()} - here)
    if more:
        click.echo(f"not installed: {', '.join(more)}  (pip install NAME)")
    if any(record["failure"] for record in records):
        click.echo("To see the traceback of a broken plugin: swift plugins NAME")


def _engine(offer: dict[str, Any]) -> str:
    if offer["missing"]:
        return " (engine not installed)"
    return " (in its own environment)" if offer["environment"] else ""
