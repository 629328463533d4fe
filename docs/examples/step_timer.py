"""A callback in a local plugin: `swift --plugin docs/examples/step_timer.py sft … --callback step-timer`."""

from __future__ import annotations

import time
from pathlib import Path

from swift_train.callbacks import Callback, Training

from swift_core import hookimpl
from swift_core.contract import CallbackSpec, Ref
from swift_core.options import Options, option


class StepTimerOptions(Options):
    """Options of the callback `step-timer`."""

    limit: float = option(3600.0, "Seconds after which the training ends.", gt=0)


@hookimpl
def swift_callbacks() -> list[CallbackSpec]:
    """Offer the callback: `--callback step-timer:limit=600` runs it."""
    summary = "Log the seconds of each step, and end the training after a time limit"
    parts = {"factory": Ref("step_timer:StepTimer"), "options": Ref("step_timer:StepTimerOptions")}
    return [CallbackSpec(name="step-timer", summary=summary, **parts)]


class StepTimer(Callback):
    """Adds `step_seconds` to the metrics, and ends the training when its time is up."""

    def __init__(self, options: StepTimerOptions) -> None:
        self.options = options

    def on_train_begin(self, training: Training) -> None:
        """Start the clock."""
        self.began = self.last = time.perf_counter()

    def on_step_end(self, training: Training) -> None:
        """Log the time since the last step."""
        now = time.perf_counter()
        training.log(step_seconds=round(now - self.last, 4))
        self.last = now
        if now - self.began > self.options.limit:
            training.stop(f"the limit of {self.options.limit:g} s is reached")

    def on_save(self, training: Training, checkpoint: Path) -> None:
        """Leave the time of the save out of the next step."""
        self.last = time.perf_counter()
