"""Experiments of Comet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from swift_train.trackers import Tracker, TrackerOptions

from swift_core.options import option


class CometOptions(TrackerOptions):
    """The experiment in Comet; COMET_API_KEY counts too."""

    workspace: str = option("", "Workspace.", also=("comet_workspace",))
    mode: Literal["auto", "online", "offline"] = option(
        "auto", "Send the metrics at once, or write them for `comet upload`; auto: online if COMET_API_KEY is set."
    )


class Comet(Tracker):
    """Sends metrics to Comet, or writes them for `comet upload`."""

    title: ClassVar[str] = "Comet"

    def start(self, name: str, folder: Path, config: Mapping[str, Any]) -> None:
        """Begin the experiment."""
        import os

        import comet_ml

        options = self.options
        online = options.mode == "online" or (options.mode == "auto" and bool(os.environ.get("COMET_API_KEY")))
        shared = {"project_name": options.project, "workspace": options.workspace or None, "log_code": False, "log_graph": False}
        if online:
            self._experiment: Any = comet_ml.Experiment(**shared)
        else:
            self._experiment = comet_ml.OfflineExperiment(**shared, offline_directory=str(folder / "comet"))
        self._experiment.set_name(name)
        self._experiment.log_parameters(dict(config))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send the metrics."""
        self._experiment.log_metrics(dict(values), step=step)

    def finish(self) -> None:
        """End the experiment."""
        self._experiment.end()
