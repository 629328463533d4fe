"""Handing a run to Slurm, and following it: sbatch, squeue, scancel."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from swift_nodes.follow_job import follow, hand_over

from swift_core.contract import SwiftError, Watch
from swift_core.system import paths
from swift_plugin_slurm.options import SlurmOptions
from swift_plugin_slurm.script import script

SCRIPT = "job.sbatch"
_RUNNING = ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED")


class SlurmLauncher:
    """A run as a batch job. The run folder lies on a disk that the nodes share."""

    def __init__(self, options: SlurmOptions) -> None:
        self.options = options

    def launch(self, run: Path, *, processes: int, nodes: int, environment: Mapping[str, str], watch: Watch) -> int:
        """Write the script, submit it and follow the job, as far as was asked for; see `roles.Launcher`."""
        run = run.resolve()
        path = run / SCRIPT
        paths.write_text(path, script(run, self.options, processes=processes, nodes=nodes, environment=environment))
        if not self.options.submit:
            return hand_over(watch, "prepared", path, f"Nothing was submitted. To do it: sbatch {path}")
        job = _slurm("sbatch", "--parsable", str(path)).partition(";")[0]
        if not self.options.follow:
            return hand_over(watch, "submitted", path, f"Submitted as job {job}. To stop it: touch {run / 'stop'}", job=job)
        watch({"event": "note", "text": f"Submitted as job {job}; its own output is in {run}/slurm-{job}.txt."})
        return follow(run, watch, lambda: _code(job), lambda: _cancel(job))


def _code(job: str) -> int | None:
    """None while the job is pending or runs, else its exit code, as Slurm's records have it."""
    state, _, code = _slurm("scontrol", "show", "job", "--oneliner", job).partition(" ExitCode=")
    name = state.partition("JobState=")[2].split(" ", 1)[0]
    if name in _RUNNING:
        return None
    number, _, killed = code.split(" ", 1)[0].partition(":")
    return int(number) or (128 + int(killed) if killed and int(killed) else 0) or int(name != "COMPLETED")


def _cancel(job: str) -> None:
    _slurm("scancel", job)


def _slurm(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SwiftError(f"{words[0]} failed: {done.stderr.strip()}", hint="That is Slurm's own answer; its administrators know more.")
    return done.stdout.strip()
