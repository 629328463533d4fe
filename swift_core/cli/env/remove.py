"""`swift env remove`: take environments away."""

from __future__ import annotations

import sys

import click

from swift_core.cli.env.shared import megabytes, served
from swift_core.cli.messages import note
from swift_core.environments.record import Environment, environments, remove, size_of
from swift_core.environments.users import users
from swift_core.environments.wanted import isolated_entry
from swift_core.errors import UsageError, suggestion
from swift_core.registry import registry


@click.command("remove", short_help="Take environments away")
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="All that there are.")
@click.option("--yes", is_flag=True, help="Don't ask.")
def command(name: str | None, everything: bool, yes: bool) -> None:
    """Remove the environments of NAME, of whichever version, finished or not."""
    if (name is None) != everything:
        raise UsageError("which?", where="NAME", hint="Name one, or add --all.")
    there = list(environments())
    found = [each for each in there if everything or name in (each.name, each.folder.name)] or _shared(name or "", there)
    if not found:
        hint = suggestion(name or "", [each.name for each in there]) or "swift env list shows what there is."
        raise UsageError(f"there is no environment of '{name}'" if name else "there is no environment", where="NAME", hint=hint)
    for each in found:
        if running := users(each.folder):
            who = ", ".join(map(str, running))
            raise UsageError(f"{each.folder.name} is in use by process {who}", where="NAME", hint="Stop that first: Ctrl-C where it runs.")
        click.echo(f"{each.folder}  {megabytes(each.record.size if each.record else size_of(each.folder))}")
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nobody to ask whether to remove these", where="--yes", hint="Add --yes.")
        click.confirm("Remove?", abort=True)
    for each in found:
        remove(each, lambda: note("another process is making it: waiting for that to end"))
    click.echo(f"removed: {len(found)}")


def _shared(name: str, there: list[Environment]) -> list[Environment]:
    """The environments that were made for another spec on the same engine."""
    try:
        entry = isolated_entry(registry(), name)
    except UsageError:
        return []
    return [each for each in there if served(each, entry)]
