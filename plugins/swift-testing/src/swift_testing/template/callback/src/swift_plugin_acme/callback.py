"""The callback, which runs in every training process. It needs no torch: the loss is the same number on every rank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swift_train.callbacks import Callback, Training

from swift_plugin_acme.options import AcmeOptions


class Acme(Callback):
    """Adds `loss_average` to the metrics, and stops a training that diverges."""

    def __init__(self, options: AcmeOptions) -> None:
        self.options = options
        self.average: float | None = None

    def on_step_end(self, training: Training) -> None:
        """Update the average with the loss of the step, or end the training."""
        loss = training.metrics["loss"]
        if self.average is not None and loss > self.options.limit * self.average:
            training.stop(f"the loss is {loss:.3g}, and its average {self.average:.3g}")
        before = loss if self.average is None else self.average
        self.average = self.options.decay * before + (1 - self.options.decay) * loss
        training.log(loss_average=self.average)

    def state_dict(self) -> dict[str, Any]:
        """Return the average, which is saved with each checkpoint."""
        return {"average": self.average}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the average in a resumed run."""
        self.average = state["average"]
