"""Runs of Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from swift_train.trackers import Tracker, TrackerOptions

from swift_core.options import option


class WandbOptions(TrackerOptions):
    """The run in Weights & Biases; WANDB_API_KEY and the other variables of the library count too."""

    entity: str = option("", "User or team.")
    mode: Literal["auto", "online", "offline"] = option(
        "auto", "Send the metrics at once, or write them for `wandb sync`; auto: online if logged in."
    )


class Wandb(Tracker):
    """Sends metrics to Weights & Biases, or writes them for `wandb sync`."""

    title: ClassVar[str] = "Weights & Biases"

    def start(self, name: str, folder: Path, config: Mapping[str, Any]) -> None:
        """Begin or continue the run."""
        import wandb

        mode = self.options.mode
        if mode == "auto":
            mode = wandb.setup().settings.mode if wandb.api.api_key else "offline"
        self._run: Any = wandb.init(
            project=self.options.project, entity=self.options.entity or None, name=name, config=dict(config), dir=str(folder), mode=mode,
            id=self.run_id or None, resume="allow" if self.run_id else None,
        )  # fmt: skip
        self.run_id = self._run.id

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send the metrics."""
        self._run.log({**values, "step": step})

    def finish(self) -> None:
        """End the run."""
        self._run.finish()
