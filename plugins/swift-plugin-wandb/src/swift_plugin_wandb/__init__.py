"""Training metrics in Weights & Biases."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import CallbackSpec, Engine, Ref

ENGINES = (Engine(requirements=("wandb>=0.20",)),)


@hookimpl
def swift_callbacks() -> list[CallbackSpec]:
    """Return the tracker."""
    return [
        CallbackSpec(
            name="wandb",
            summary="Send metrics to Weights & Biases",
            factory=Ref("swift_plugin_wandb.tracker:Wandb"),
            options=Ref("swift_plugin_wandb.tracker:WandbOptions"),
            engines=ENGINES,
        )
    ]
