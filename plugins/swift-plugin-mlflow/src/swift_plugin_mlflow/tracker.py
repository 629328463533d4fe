"""Runs of MLflow."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from swift_train.trackers import Tracker, TrackerOptions

from swift_core.options import option

_VALUE = 500  # maximum length of a parameter's value
_PARAMETERS = 100  # maximum number of parameters in one request


class MlflowOptions(TrackerOptions):
    """The run in MLflow; MLFLOW_TRACKING_URI and the other variables of the library count too."""

    uri: str = option("", "Tracking server or store; default: MLFLOW_TRACKING_URI, else mlflow/ in the run folder.", also=("tracking_uri",))


class Mlflow(Tracker):
    """Sends metrics to a tracking server, or writes them into a local store."""

    title: ClassVar[str] = "MLflow"

    def start(self, name: str, folder: Path, config: Mapping[str, Any]) -> None:
        """Begin or continue the run."""
        import os

        from mlflow.entities import Param
        from mlflow.tracking import MlflowClient

        uri = self.options.uri or os.environ.get("MLFLOW_TRACKING_URI") or f"file:{(folder / 'mlflow').absolute()}"
        self._client: Any = MlflowClient(tracking_uri=uri)
        if self.run_id:
            return
        found = self._client.get_experiment_by_name(self.options.project)
        experiment = found.experiment_id if found else self._client.create_experiment(self.options.project)
        self.run_id = self._client.create_run(experiment, run_name=name).info.run_id
        parameters = [Param(key, str(value)[:_VALUE]) for key, value in config.items()]
        for at in range(0, len(parameters), _PARAMETERS):
            self._client.log_batch(self.run_id, params=parameters[at : at + _PARAMETERS])

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send the metrics."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(self.run_id, metrics=[Metric(key, float(value), now, step) for key, value in values.items()])

    def finish(self) -> None:
        """End the run."""
        self._client.set_terminated(self.run_id)
