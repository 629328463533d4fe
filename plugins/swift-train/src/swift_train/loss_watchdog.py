"""The callback `loss-watchdog`: end a training whose loss is too high for several steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swift_core.options import Options, option
from swift_train.callbacks import Callback, Training


class LossWatchdogOptions(Options):
    """Options of the callback `loss-watchdog`."""

    threshold: float = option(..., "Loss above which a step counts.", gt=0)
    patience: int = option(3, "Consecutive steps above the threshold after which training ends.", ge=1)


class LossWatchdog(Callback):
    """Counts the consecutive steps whose loss exceeds the threshold."""

    def __init__(self, options: LossWatchdogOptions) -> None:
        self.options = options
        self.steps = 0

    def on_train_begin(self, training: Training) -> None:
        """End a resumed run whose loss was too high."""
        self._check(training)

    def on_step_end(self, training: Training) -> None:
        """Count the step."""
        self.steps = self.steps + 1 if not training.metrics["loss"] <= self.options.threshold else 0
        self._check(training)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps."""
        return {"steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.steps = state["steps"]

    def _check(self, training: Training) -> None:
        if self.steps >= self.options.patience:
            training.stop(f"the loss was above {self.options.threshold:g} in {self.steps} consecutive steps")
