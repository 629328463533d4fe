"""`swift env list`: list the environments on this machine."""

from __future__ import annotations

import json
from typing import Any

import click

from swift_core.cli import print_table
from swift_core.contract import UsageError
from swift_core.environments import isolated_entries
from swift_core.plugins import registry
from swift_environments.commands.shared import megabytes, served
from swift_environments.isolated import isolated_entry
from swift_environments.record import Environment, environments, size_of


@click.command("list", short_help="List the environments on this machine")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """List the environments on this machine: name, state, size, Python, date of creation, and the parts that use them."""
    rows = [_row(each) for each in environments()]
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    elif not rows:
        click.echo("No environments. Create one with swift env create NAME, or run swift serve, which offers to create it.")
    else:
        shown = [
            (
                row["name"],
                row["key"],
                row["state"],
                megabytes(row["size"]),
                row["python"],
                row["made"][:16].replace("T", " "),
                row["used_by"],
            )
            for row in rows
        ]
        print_table(("name", "key", "state", "size", "python", "created", "used by"), shown)


def _row(each: Environment) -> dict[str, Any]:
    record = each.record
    return {
        "name": each.name,
        "key": each.key,
        "state": each.state,
        "size": record.size if record else size_of(each.folder),
        "python": record.python if record else "",
        "made": record.made if record else "",
        "used_by": _used_by(each),
        "folder": str(each.folder),
    }


def _used_by(each: Environment) -> str:
    """Return the parts that run in it, by kind, or the reason why none does."""
    if each.record is None:
        return ""
    made_for = each.record.spec
    users: dict[str, list[str]] = {}
    for entry in isolated_entries(registry()):
        if entry.plugin.distribution == made_for.distribution and served(each, entry):
            users.setdefault(entry.spec.kind, []).append(entry.spec.name)
    if users:
        return "; ".join(f"{kind} {', '.join(names)}" for kind, names in users.items())
    try:
        isolated_entry(registry(), made_for.name, made_for.kind)
    except UsageError as error:
        return f"nothing: {error.message}"
    return f"nothing: {made_for.distribution} requires other packages now"
