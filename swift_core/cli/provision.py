"""What a command does where an engine is absent: offer to make the environment for it, and go on."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from swift_core.cli.screen import Screen
from swift_core.contract import VerbSpec
from swift_core.options import Settings

if TYPE_CHECKING:
    from swift_core.environments import EngineAbsent
    from swift_core.runs import Resolved

OPTIONS = (
    click.Option(["--yes"], is_flag=True, help="Make the environment of an absent engine without asking."),
    click.Option(["--no-provision"], is_flag=True, help="Where an engine is absent, print what is missing as JSON, and exit with 2."),
)


def resolve(verb: VerbSpec, settings: Settings, screen: Screen, values: Mapping[str, Any]) -> Resolved | None:
    """Resolve the run, making the environment of an absent engine where the user wants that; None where only asked what is missing."""
    from swift_core.environments import EngineAbsent
    from swift_core.runs import resolution as resolving  # pydantic comes with it, and --help needs none

    try:
        return resolving.resolve(verb, settings, progress=screen.download)
    except EngineAbsent as absent:
        if values.get("no_provision"):
            click.echo(json.dumps(missing(absent), ensure_ascii=False))
            return None
        if not _make(absent, screen, yes=bool(values.get("yes")), dry_run=bool(values["dry_run"])):
            raise
    return resolving.resolve(verb, settings, progress=screen.download)


def missing(absent: EngineAbsent) -> dict[str, Any]:
    """What is missing, and the command that makes it."""
    spec = absent.entry.spec
    return {"kind": spec.kind, "name": spec.name, "missing": list(absent.missing), "create": ["swift", "env", "create", spec.name]}


def _make(absent: EngineAbsent, screen: Screen, *, yes: bool, dry_run: bool) -> bool:
    """Make the environment if the user agrees. A dry run makes nothing."""
    from swift_core.cli.env.create import plan_record, show_plan
    from swift_core.environments import build, wanted

    if dry_run or not (yes or (sys.stdin.isatty() and screen.terminal)):
        return False
    todo = build.plan(wanted(absent.entry))
    if not yes:
        screen.close()
        click.echo(f"{absent.message}. This would be made for it:")
        show_plan(plan_record(todo))
        if not click.confirm("Make it?"):
            return False
    made = build.create(todo, watch=screen.watch if screen.terminal else None, note=screen.note)
    screen.close()
    screen.note(f"{absent.entry.spec.name} has an environment now: {made.folder}")
    return True
