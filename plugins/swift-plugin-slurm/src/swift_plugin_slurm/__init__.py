"""Slurm: a run as a batch job, written, submitted and followed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import LauncherSpec, Problem, Ref

if TYPE_CHECKING:
    from swift_core.contract import Run

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


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Refuse to submit where there is no Slurm."""
    chosen = run.parts.get("launcher")
    if chosen and chosen.factory.startswith("swift_plugin_slurm.") and chosen.options["submit"] and not shutil.which("sbatch"):
        hint = "Give the command where Slurm is, or add --launcher.no-submit and take the script there."
        yield Problem(where="launcher", message="there is no sbatch on this machine", hint=hint)
