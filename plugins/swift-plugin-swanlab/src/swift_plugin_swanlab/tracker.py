"""Experiments of SwanLab."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from swift_train.trackers import Tracker, TrackerOptions

from swift_core.options import option


class SwanLabOptions(TrackerOptions):
    """The experiment in SwanLab; SWANLAB_API_KEY counts too."""

    workspace: str = option("", "User or organisation.")
    mode: Literal["auto", "cloud", "local", "offline"] = option(
        "auto", "Send the metrics (cloud), or write them (local, offline); auto: cloud if SWANLAB_API_KEY is set, else offline."
    )


class SwanLab(Tracker):
    """Sends metrics to SwanLab, or writes them."""

    title: ClassVar[str] = "SwanLab"

    def start(self, name: str, folder: Path, config: Mapping[str, Any]) -> None:
        """Begin the experiment."""
        import os

        import swanlab

        mode = self.options.mode
        if mode == "auto":
            mode = "cloud" if os.environ.get("SWANLAB_API_KEY") else "offline"
        self._library: Any = swanlab
        self._library.init(
            project=self.options.project, workspace=self.options.workspace or None, experiment_name=name, config=dict(config),
            logdir=str(folder / "swanlab"), mode=mode,
        )  # fmt: skip

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send the metrics."""
        self._library.log(dict(values), step=step)

    def finish(self) -> None:
        """End the experiment."""
        self._library.finish()
