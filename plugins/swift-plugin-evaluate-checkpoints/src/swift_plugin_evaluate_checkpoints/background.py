"""An evaluation of a checkpoint in a process of its own, which ends with this one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_evaluate.scores import FILE as SCORES
from swift_train.disk_space import copy_model

from swift_core.checkpoints import Checkpoint
from swift_core.system import paths, read_result, supervisor
from swift_plugin_evaluate_checkpoints.devices import environment_on

FOLDER = "evaluations"  # in the run folder: a run folder for each evaluated checkpoint
_GRACE = 5.0  # seconds that an evaluation has to end


def prepared(checkpoint: Path, home: Path, step: int) -> Path:
    """Link the model of a checkpoint, so that it is there until it is evaluated, and return the run folder of its evaluation."""
    folder = home / FOLDER / f"step-{step:06d}"
    model = _model_of(folder)
    shutil.rmtree(model, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)  # of an interrupted run that this one resumes
    model.mkdir(parents=True)
    copy_model(checkpoint / "model", model, link=True)
    return folder


def discard(folder: Path) -> None:
    """Remove the linked model of an evaluation."""
    shutil.rmtree(_model_of(folder), ignore_errors=True)


@dataclass(frozen=True, slots=True)
class BackgroundEvaluation:
    """A running evaluation."""

    step: int  # training step of the checkpoint
    folder: Path  # its run folder
    process: subprocess.Popen[bytes]  # under the supervisor

    @classmethod
    def start(cls, step: int, folder: Path, settings: Mapping[str, Any], plugins: tuple[str, ...], device: str) -> BackgroundEvaluation:
        """Start it on a device, with the options of `swift eval`."""
        model = _model_of(folder)
        subject = {"adapter": [str(model)]} if Checkpoint.at(model).spec.adapter else {"model": str(model)}
        asked = folder.with_suffix(".json")
        paths.write_json(asked, {"settings": {**settings, **subject}, "plugins": list(plugins), "folder": str(folder)})
        command = [sys.executable, "-P", "-m", "swift_plugin_evaluate_checkpoints.evaluation_process", str(asked)]
        with folder.with_suffix(".log").open("wb") as log:
            process = subprocess.Popen(
                supervisor.argv(command, grace=_GRACE),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment_on(device, os.environ),
            )
        return cls(step, folder, process)

    @property
    def ended(self) -> bool:
        """True if it has ended."""
        return self.process.poll() is not None

    def stop(self) -> None:
        """End it."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()

    def scores(self) -> dict[str, float]:
        """Return each score as `task.metric`; empty if it failed."""
        if self.process.returncode or not (self.folder / SCORES).is_file():
            return {}
        record = json.loads((self.folder / SCORES).read_text(encoding="utf-8"))
        return {f"{task}.{metric}": score["value"] for task, metrics in record["scores"].items() for metric, score in metrics.items()}

    def lower_is_better(self) -> list[str]:
        """Return the scores of which less is better, as `task.metric`."""
        record = json.loads((self.folder / SCORES).read_text(encoding="utf-8"))
        lower = record.get("lower_is_better", ())
        return [f"{task}.{metric}" for task, metrics in record["scores"].items() for metric in metrics if metric in lower]

    def failure(self) -> str:
        """Return why it failed."""
        result = read_result(self.folder)
        if result and result.get("error"):
            return str(result["error"])
        lines = self.folder.with_suffix(".log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else f"it ended with code {self.process.returncode}"


def _model_of(folder: Path) -> Path:
    return folder.with_suffix(".model")
