"""Training metrics in SwanLab."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import CallbackSpec, Engine, Ref

ENGINES = (Engine(requirements=("swanlab>=0.6",)),)


@hookimpl
def swift_callbacks() -> list[CallbackSpec]:
    """Return the tracker."""
    return [
        CallbackSpec(
            name="swanlab",
            summary="Send metrics to SwanLab",
            factory=Ref("swift_plugin_swanlab.tracker:SwanLab"),
            options=Ref("swift_plugin_swanlab.tracker:SwanLabOptions"),
            engines=ENGINES,
        )
    ]
