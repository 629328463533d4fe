"""Resolve the run of a command; if an engine is absent, a plugin may create an environment for it (hook `swift_provision`)."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from swift_core.cli.screen import Screen
from swift_core.contract import Settings, VerbSpec
from swift_core.plugins import registry

if TYPE_CHECKING:
    from swift_core.environments import EngineAbsent
    from swift_core.runs import Resolved

OPTIONS = (
    click.Option(["--yes"], is_flag=True, help="Create the environment of a missing engine without asking."),
    click.Option(["--no-provision"], is_flag=True, help="If an engine is missing, print what it needs as JSON, and exit with 2."),
)


def resolve_with_engines(verb: VerbSpec, settings: Settings, screen: Screen, values: Mapping[str, Any]) -> Resolved | None:
    """Resolve the run, creating the environment of an absent engine if the user agrees; None if only what is missing was asked for."""
    from swift_core.environments import EngineAbsent
    from swift_core.runs import resolve  # imports pydantic, which --help does not need

    try:
        return resolve(verb, settings, progress=screen.download)
    except EngineAbsent as absent:
        if values.get("no_provision"):
            spec = absent.entry.spec
            missing = {"kind": spec.kind, "name": spec.name, "missing": list(absent.missing), "create": list(absent.create)}
            click.echo(json.dumps(missing, ensure_ascii=False))
            return None
        if values["dry_run"] or not _created(absent, screen, yes=bool(values.get("yes"))):
            raise
    return resolve(verb, settings, progress=screen.download)


def _created(absent: EngineAbsent, screen: Screen, *, yes: bool) -> bool:
    """Return whether a plugin has created the environment."""
    if not (yes or (sys.stdin.isatty() and screen.terminal)):
        return False
    screen.close()
    answers = registry().plugins.ask(
        "swift_provision",
        spec=absent.entry.spec,
        distribution=absent.entry.plugin.distribution,
        reason="" if yes else absent.message,
        watch=screen.watch if screen.terminal else None,
        note=screen.note,
    )
    created = any(answer for _, answer in answers)
    screen.close()
    return created
