"""`swift env remove`: remove environments."""

from __future__ import annotations

import sys

import click

from swift_core.cli import note
from swift_core.contract import UsageError, suggestion
from swift_core.plugins import registry
from swift_environments.commands.shared import megabytes, served
from swift_environments.isolated import isolated_entry
from swift_environments.processes import users
from swift_environments.record import Environment, environments, remove, size_of


@click.command("remove", short_help="Remove environments")
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Remove all environments.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
def command(name: str | None, everything: bool, yes: bool) -> None:
    """Remove the environments of NAME: all versions, finished or not."""
    if (name is None) != everything:
        raise UsageError(
            "give either a name or --all", code="ENV-005", where="NAME", hint="Name an environment (see swift env list), or add --all."
        )
    there = list(environments())
    found = [each for each in there if everything or name in (each.name, each.folder.name)] or (_shared(name, there) if name else [])
    if not found:
        hint = suggestion(name or "", [each.name for each in there]) or "List the environments with swift env list."
        raise UsageError(
            f"there is no environment for '{name}'" if name else "there is no environment", code="ENV-006", where="NAME", hint=hint
        )
    for each in found:
        if running := users(each.folder):
            who = ", ".join(map(str, running))
            raise UsageError(
                f"{each.folder.name} is in use by process {who}", code="ENV-007", where="NAME", hint="Stop that process first."
            )
        click.echo(f"{each.folder}  {megabytes(each.record.size if each.record else size_of(each.folder))}")
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("can't ask for confirmation: stdin is not a terminal", code="ENV-008", where="--yes", hint="Add --yes.")
        click.confirm("Remove?", abort=True)
    for each in found:
        remove(each, lambda: note("another process is creating it: waiting for it to end"))
    click.echo(f"removed: {len(found)}")


def _shared(name: str, there: list[Environment]) -> list[Environment]:
    """Return the environments that were created for another spec with the same requirements."""
    try:
        entry = isolated_entry(registry(), name)
    except UsageError:
        return []
    return [each for each in there if served(each, entry)]
