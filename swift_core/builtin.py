"""The plugin that the core itself is: the launchers."""

from __future__ import annotations

from swift_core.hookspecs import hookimpl
from swift_core.specs import LauncherSpec, Ref


@hookimpl
def swift_launchers() -> list[LauncherSpec]:
    """`local` starts the workers itself; `torchrun` hands them to torch's elastic launcher, on one machine or many."""
    return [
        LauncherSpec(
            name="local",
            summary="Processes on this machine, started and watched by the command",
            factory=Ref("swift_core.launchers:LocalLauncher"),
        ),
        LauncherSpec(
            name="torchrun",
            summary="torch's elastic launcher, on one machine or many",
            factory=Ref("swift_core.launchers:TorchrunLauncher"),
            options=Ref("swift_core.launchers_options:TorchrunOptions"),
            nodes=True,
        ),
    ]
