"""The core's own plugin: the launcher of processes on one machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core.contract import LauncherSpec, Problem, Ref, hookimpl

if TYPE_CHECKING:
    from swift_core.contract import Run


@hookimpl
def swift_launchers() -> list[LauncherSpec]:
    """Register `local`, which starts the workers itself."""
    return [
        LauncherSpec(
            name="local",
            summary="Processes on this machine, started and watched by the command",
            factory=Ref("swift_core.runs.local_launcher:LocalLauncher"),
        )
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Refuse several nodes if the launcher starts processes on one machine only."""
    chosen = run.parts.get("launcher")
    if chosen is None or (nodes := int(run.options.get("nodes", 1))) == 1:
        return
    from swift_core.plugins import registry

    if not registry().spec(chosen, LauncherSpec).nodes:
        able = ", ".join(item.name for item in registry().all(LauncherSpec) if item.nodes) or "none is installed"
        message = f"the launcher '{chosen.name}' starts processes on one machine, and {nodes} nodes are requested"
        yield Problem(code="RUN-002", where="launcher", message=message, hint=f"Launchers for several nodes: {able}.")
