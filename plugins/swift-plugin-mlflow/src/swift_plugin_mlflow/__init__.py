"""Training metrics in MLflow."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import CallbackSpec, Engine, Ref

ENGINES = (Engine(requirements=("mlflow-skinny>=2.20",)),)


@hookimpl
def swift_callbacks() -> list[CallbackSpec]:
    """Return the tracker."""
    return [
        CallbackSpec(
            name="mlflow",
            summary="Send metrics to MLflow",
            factory=Ref("swift_plugin_mlflow.tracker:Mlflow"),
            options=Ref("swift_plugin_mlflow.tracker:MlflowOptions"),
            engines=ENGINES,
        )
    ]
