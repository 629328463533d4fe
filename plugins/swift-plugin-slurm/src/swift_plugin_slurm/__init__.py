"""Slurm: a run as a batch job, written, submitted and followed."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.specs import LauncherSpec, Ref

SWIFT_EXAMPLES = Ref("swift_plugin_slurm.examples:EXAMPLES")


@hookimpl
def swift_launchers() -> list[LauncherSpec]:
    """One launcher."""
    return [
        LauncherSpec(
            name="slurm",
            summary="A Slurm job, submitted and followed, or its script alone",
            factory=Ref("swift_plugin_slurm.launcher:SlurmLauncher"),
            options=Ref("swift_plugin_slurm.options:SlurmOptions"),
            nodes=True,
        )
    ]
