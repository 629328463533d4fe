"""Offer to create the environment of an engine that a run needs."""

from __future__ import annotations

from collections.abc import Callable

import click

from swift_core.contract import Spec, Watch
from swift_core.plugins import Entry
from swift_environments import build
from swift_environments.commands.create import plan_record, show_plan
from swift_environments.requirements import environment_spec


def provision(entry: Entry[Spec], reason: str, watch: Watch | None, note: Callable[[str], None]) -> bool:
    """Create the environment of `entry`; return False if the user declines.

    Args:
        entry: the spec whose engine is absent.
        reason: why the environment is needed, to show the plan and ask for confirmation; '' to create it without.
        watch: called with progress events; None if nothing shows them.
        note: called with texts for the user.
    """
    todo = build.plan(environment_spec(entry))
    if reason:
        click.echo(f"{reason}. This environment can be created for it:")
        show_plan(plan_record(todo))
        if not click.confirm("Create it?"):
            return False
    made = build.create(todo, watch=watch, note=note)
    note(f"{entry.spec.name} has an environment now: {made.folder}")
    return True
