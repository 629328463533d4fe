"""Slurm launcher: write a run as a batch script, submit it and follow it."""

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
    """Return the launcher `slurm`."""
    return [
        LauncherSpec(
            name="slurm",
            summary="A Slurm job, submitted and followed, or only its batch script",
            factory=Ref("swift_plugin_slurm.launcher:SlurmLauncher"),
            options=Ref("swift_plugin_slurm.options:SlurmOptions"),
            nodes=True,
        )
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Check that sbatch is installed if the job is to be submitted."""
    chosen = run.parts.get("launcher")
    if chosen and chosen.factory.startswith("swift_plugin_slurm.") and chosen.options["submit"] and not shutil.which("sbatch"):
        hint = "Run the command on a machine with Slurm, or write only the script with --launcher.no-submit and submit it there."
        yield Problem(code="NODE-026", where="launcher", message="sbatch is not installed on this machine", hint=hint)
