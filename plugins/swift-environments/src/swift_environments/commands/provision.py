"""Offer to create the environment of an engine that a run needs."""

from __future__ import annotations

import click

from swift_core.cli import Screen
from swift_core.contract import Spec
from swift_core.plugins import Entry
from swift_environments import build
from swift_environments.commands.create import plan_record, show_plan
from swift_environments.requirements import environment_spec


def provision(entry: Entry[Spec], reason: str, screen: Screen, *, ask: bool) -> bool:
    """Create the environment of `entry`; return False if the user declines.

    Args:
        entry: the spec whose engine is absent.
        reason: why the environment is needed, for the user.
        screen: shows progress and notes.
        ask: whether to show the plan and ask for confirmation first.
    """
    todo = build.plan(environment_spec(entry))
    if ask:
        screen.close()
        click.echo(f"{reason}. This environment can be created for it:")
        show_plan(plan_record(todo))
        if not click.confirm("Create it?"):
            return False
    made = build.create(todo, watch=screen.watch if screen.terminal else None, note=screen.note)
    screen.close()
    screen.note(f"{entry.spec.name} has an environment now: {made.folder}")
    return True
