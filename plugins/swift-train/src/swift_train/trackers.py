"""Base of callbacks that send metrics to an experiment tracker. A tracker that fails or hangs never ends or delays the training."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.options import Options, option
from swift_train.callbacks import Callback, Training

if TYPE_CHECKING:
    from swift_core.contract import Run

_LAST_WAIT = 60.0  # seconds that the end of a run waits for the tracker


class TrackerOptions(Options):
    """Options of every tracker."""

    project: str = option("swift", "Project, or experiment, that the run belongs to.")
    run_name: str = option("", "Name of the run; default: that of its run folder.")


class Tracker(Callback):
    """Sends the metrics of rank 0 from a thread of its own; a subclass implements `start`, `log` and `finish`, called in that thread.

    The first exception is shown to the user, and nothing is sent any more.
    """

    title: ClassVar[str]  # the tracker's name, for messages

    def __init__(self, options: TrackerOptions) -> None:
        self.options: Any = options
        self.run_id = ""  # what a resumed run continues; set by `start`
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._failure, self._told = "", False

    def start(self, name: str, folder: Path, config: Mapping[str, Any]) -> None:
        """Begin a run, or continue the run `run_id`.

        Args:
            name: of the run.
            folder: the run folder.
            config: the settings of the run by dotted name.
        """
        raise NotImplementedError

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send metrics of a step."""
        raise NotImplementedError

    def finish(self) -> None:
        """End the run."""

    def on_train_begin(self, training: Training) -> None:
        """Begin the run."""
        if training.rank == 0:
            self._thread = threading.Thread(target=self._work, name=f"tracker {self.title}", daemon=True)
            self._thread.start()
            name = self.options.run_name or training.folder.name
            self._send(training, partial(self.start, name, training.folder, settings_of(training.run)))

    def on_step_end(self, training: Training) -> None:
        """Send the metrics if they are reported at this step."""
        if training.reported:
            self._send(training, partial(self.log, training.step, {f"train/{key}": value for key, value in training.reported.items()}))

    def on_evaluate(self, training: Training) -> None:
        """Send the metrics of the evaluation."""
        self._send(training, partial(self.log, training.step, {f"eval/{key}": value for key, value in training.evaluated.items()}))

    def on_score(self, training: Training, step: int, scores: Mapping[str, float]) -> None:
        """Send the scores of a checkpoint at the current step, since trackers take no earlier one; with the checkpoint's step."""
        values = {f"eval/{key.removeprefix('eval_')}": value for key, value in scores.items()}
        self._send(training, partial(self.log, training.step, {**values, "eval/checkpoint_step": step}))

    def on_train_end(self, training: Training, output: Path) -> None:
        """End the run, and wait for a limited time until everything is sent."""
        if self._thread:
            self._send(training, self.finish)
            self._jobs.put(None)
            self._thread.join(_LAST_WAIT)
            if self._thread.is_alive():
                training.note(f"WARNING: {self.title} has not sent all metrics in {_LAST_WAIT:g} s; they are in metrics.jsonl")
            self._tell(training)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs to continue the run of the tracker."""
        return {"run_id": self.run_id}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.run_id = state["run_id"]

    def _send(self, training: Training, job: Callable[[], None]) -> None:
        if self._thread and not self._failure:
            self._jobs.put(job)
        self._tell(training)

    def _tell(self, training: Training) -> None:
        if self._failure and not self._told:
            self._told = True
            training.note(f"WARNING: {self.title} failed; the training continues without it: {self._failure}")

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._failure:
                continue
            try:
                job()
            except BaseException as error:  # a library may call sys.exit
                self._failure = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"


def settings_of(run: Run) -> dict[str, Any]:
    """Return the settings of a run by dotted name, as numbers and texts."""
    found: dict[str, Any] = {"verb": run.verb, "model": run.model.reference if run.model else ""}
    for part, choice in run.parts.items():
        found[part] = choice.name
        found |= {f"{part}.{name}": value for name, value in choice.options.items()}
    return {name: value if isinstance(value, int | float | str) else str(value) for name, value in found.items() if value is not None}
