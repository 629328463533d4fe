"""Event files of TensorBoard, written by tensorboardX."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from swift_train.trackers import Tracker, TrackerOptions

from swift_core.options import option


class TensorBoardOptions(TrackerOptions):
    """Options of the event files."""

    folder: str = option("", "Folder of the event files; default: tensorboard/ in the run folder.", also=("logging_dir",))


class TensorBoard(Tracker):
    """Writes event files into the run folder."""

    title: ClassVar[str] = "TensorBoard"

    def start(self, name: str, folder: Path, config: Mapping[str, Any]) -> None:
        """Open the event file."""
        from tensorboardX import SummaryWriter

        self._writer: Any = SummaryWriter(self.options.folder or str(folder / "tensorboard"))
        self._writer.add_text("settings", "\n".join(f"    {key}: {value}" for key, value in config.items()), 0)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write the metrics."""
        for key, value in values.items():
            self._writer.add_scalar(key, value, step)
        self._writer.flush()

    def finish(self) -> None:
        """Close the event file."""
        self._writer.close()
