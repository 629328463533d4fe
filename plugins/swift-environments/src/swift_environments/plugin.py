"""The plugin: environments of engines, found and created."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.contract import EngineEnvironment, Spec, hookimpl

if TYPE_CHECKING:
    from swift_core.cli import Screen
    from swift_core.plugins import Entry


@hookimpl
def swift_environment(entry: Entry[Spec], update: bool) -> EngineEnvironment:
    """Return the environment that `swift env create` has made for the part."""
    from swift_environments.lookup import find

    return find(entry, update=update)


@hookimpl
def swift_provision(entry: Entry[Spec], reason: str, ask: bool, screen: Screen) -> bool:
    """Create the environment with uv or pip; return whether the user agreed."""
    from swift_environments.commands.provision import provision

    return provision(entry, reason, screen, ask=ask)
