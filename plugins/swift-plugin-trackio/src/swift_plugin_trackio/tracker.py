"""Runs of Trackio."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from swift_train.trackers import Tracker, TrackerOptions

from swift_core.options import option


class TrackioOptions(TrackerOptions):
    """The run in Trackio, whose metrics are stored on this machine unless a Space is named."""

    space: str = option("", "Space of the Hugging Face hub that shows the run; needs HF_TOKEN.", also=("trackio_space_id",))


class Trackio(Tracker):
    """Stores metrics for `trackio show`."""

    title: ClassVar[str] = "Trackio"

    def start(self, name: str, folder: Path, config: Mapping[str, Any]) -> None:
        """Begin or continue the run."""
        import trackio

        self._library: Any = trackio
        self.run_id = self.run_id or name
        self._library.init(
            project=self.options.project, name=self.run_id, space_id=self.options.space or None, config=dict(config), resume="allow"
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Store the metrics."""
        self._library.log(dict(values), step=step)

    def finish(self) -> None:
        """End the run."""
        self._library.finish()
