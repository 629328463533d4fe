"""Submit a run to Slurm and follow it, with sbatch, scontrol and scancel."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from swift_nodes.follow_job import follow, hand_over

from swift_core.contract import SwiftError, Watch, note
from swift_core.system import paths
from swift_plugin_slurm.options import SlurmOptions
from swift_plugin_slurm.script import script

SCRIPT = "job.sbatch"
_RUNNING = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED")


class SlurmLauncher:
    """Launches a run as a batch job. The run folder must be on a file system that the nodes share."""

    def __init__(self, options: SlurmOptions) -> None:
        self.options = options

    def launch(self, run: Path, *, processes: int, nodes: int, environment: Mapping[str, str], watch: Watch) -> int:
        """Write the batch script and, unless disabled by the options, submit it and follow the job; see `roles.Launcher`.

        Raises:
            SwiftError: a Slurm command failed.
        """
        run = run.resolve()
        path = run / SCRIPT
        paths.write_text(path, script(run, self.options, processes=processes, nodes=nodes, environment=environment))
        if not self.options.submit:
            return hand_over(watch, "prepared", path, f"Not submitted. To submit: sbatch {path}")
        job = _run_slurm("sbatch", "--parsable", str(path)).partition(";")[0]
        if not self.options.follow:
            return hand_over(watch, "submitted", path, f"Submitted as job {job}. To stop it: touch {run / 'stop'}", job=job)
        watch(note(f"Submitted as job {job}; its output is in {run}/slurm-{job}.txt."))
        return follow(run, watch, lambda: _exit_code(job), lambda: _cancel(job))


def _exit_code(job: str) -> int | None:
    """Return None while the job is pending or running, else its exit code in Slurm's records (128 + signal if it was killed)."""
    state, _, code = _run_slurm("scontrol", "show", "job", "--oneliner", job).partition(" ExitCode=")
    name = state.partition("JobState=")[2].split(" ", 1)[0]
    if name in _RUNNING:
        return None
    number, _, signal = code.split(" ", 1)[0].partition(":")
    return int(number) or (128 + int(signal) if signal and int(signal) else 0) or int(name != "COMPLETED")


def _cancel(job: str) -> None:
    _run_slurm("scancel", job)


def _run_slurm(*argv: str) -> str:
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    if result.returncode:
        hint = "The message is Slurm's; check the launcher's options, or ask the cluster's administrators."
        raise SwiftError(f"{argv[0]} failed: {result.stderr.strip()}", code="NODE-027", hint=hint)
    return result.stdout.strip()
