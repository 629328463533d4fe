"""Create the scaffold of a plugin."""

from __future__ import annotations

from pathlib import Path

import click

from swift_core.contract import UsageError
from swift_core.plugins import KINDS, catalogue, find_command, listing, registry
from swift_testing import scaffold


@click.command("new", short_help="Create the scaffold of a plugin")
@click.argument("name")
@click.option("--kind", required=True, type=click.Choice(scaffold.KINDS), help="Kind of part that the plugin provides.")
@click.option("--folder", default=".", type=click.Path(path_type=Path), help="Parent of the new folder.  [default: the current folder]")
@click.option("--overwrite", is_flag=True, help="Replace the folder if it exists.")
def command(name: str, kind: str, folder: Path, overwrite: bool) -> None:
    """Create the scaffold of a plugin NAME: a distribution with tests that installs and works at once."""
    name = scaffold.plugin_name(name)
    _refuse_taken(name, kind)
    target = folder / f"{scaffold.PREFIX}{name}"
    scaffold.write(kind, name, target, overwrite=overwrite)
    check = f"  swift plugins check {scaffold.PREFIX}{name}"
    lines = [f"written: {target}", "next:", f"  cd {target}", "  pip install -e '.[test]'", "  pytest", check]
    click.echo("\n".join([*lines, f"then adapt src/swift_plugin_{name.replace('-', '_')}; README.md describes the files"]))


def _refuse_taken(name: str, kind: str) -> None:
    """Check that the name is free: a clash would otherwise show only once the plugin is installed."""
    known = registry()
    specs = known.all(KINDS[kind]) if kind in KINDS else []
    first_party = {home for names in catalogue().values() for home in names.values()}
    taken = ""
    if f"{scaffold.PREFIX}{name}" in first_party or name in known.plugins.found:
        taken = "a plugin"
    elif any(name in (spec.name, *spec.also) for spec in specs) or name in catalogue().get(kind, {}):
        taken = f"a {kind}"
    elif kind == "command" and (listing.verb_homes(name) or find_command(name)):
        taken = "a command"
    if taken:
        mine = known.plugins.found.get(name)
        yours = mine.distribution if mine and mine.distribution not in first_party else ""
        again = f" To create it again: pip uninstall {yours}, then use --overwrite." if yours else ""
        raise UsageError(f"there is {taken} '{name}' already", code="TEST-001", where="NAME", hint=f"Choose another name.{again}")
