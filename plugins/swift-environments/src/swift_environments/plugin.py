"""The plugin: environments of engines, found and created."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from swift_core.contract import EngineEnvironment, Spec, Watch, hookimpl

if TYPE_CHECKING:
    from swift_core.plugins import Entry


@hookimpl
def swift_environment(spec: Spec, distribution: str, update: bool) -> EngineEnvironment:
    """Return the environment that `swift env create` has made for the part."""
    from swift_environments.lookup import find

    return find(_entry(spec, distribution), update=update)


@hookimpl
def swift_provision(spec: Spec, distribution: str, reason: str, watch: Watch | None, note: Callable[[str], None]) -> bool:
    """Create the environment with uv or pip; return whether the user agreed."""
    from swift_environments.commands.provision import provision

    return provision(_entry(spec, distribution), reason, watch, note)


def _entry(spec: Spec, distribution: str) -> Entry[Spec]:
    from swift_core.plugins import registry

    return registry().entry(spec.kind, spec.name, origin=distribution)
