"""The plugin that the core itself is: the launchers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core.contract.hookspecs import hookimpl
from swift_core.contract.specs import LauncherSpec, Problem, Ref

if TYPE_CHECKING:
    from swift_core.contract.run import Run


@hookimpl
def swift_launchers() -> list[LauncherSpec]:
    """`local` starts the workers itself; `torchrun` hands them to torch's elastic launcher, on one machine or many."""
    return [
        LauncherSpec(
            name="local",
            summary="Processes on this machine, started and watched by the command",
            factory=Ref("swift_core.runs.local_launcher:LocalLauncher"),
        ),
        LauncherSpec(
            name="torchrun",
            summary="torch's elastic launcher, on one machine or many",
            factory=Ref("swift_nodes.torchrun:TorchrunLauncher"),
            options=Ref("swift_nodes.options:TorchrunOptions"),
            nodes=True,
        ),
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Refuse machines that the launcher can't reach, before a model is loaded."""
    chosen = run.parts.get("launcher")
    nodes = int(run.options.get("nodes", 1))
    if chosen is None:
        return
    from swift_core.plugins.registry import registry

    spec = registry().spec(chosen)
    if nodes > 1 and not spec.nodes:
        able = ", ".join(item.name for item in registry().all("launcher") if getattr(item, "nodes", False))
        message = f"the launcher '{chosen.name}' starts one machine's processes, and {nodes} nodes are asked for"
        yield Problem(where="launcher", message=message, hint=f"Launchers for several machines: {able}.")
    if chosen.factory.startswith("swift_nodes."):
        from swift_nodes.torchrun import problems

        yield from problems(chosen.options, nodes)
