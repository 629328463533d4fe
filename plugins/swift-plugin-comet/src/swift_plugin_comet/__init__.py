"""Training metrics in Comet."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import CallbackSpec, Engine, Ref

ENGINES = (Engine(requirements=("comet_ml>=3.49",)),)


@hookimpl
def swift_callbacks() -> list[CallbackSpec]:
    """Return the tracker."""
    return [
        CallbackSpec(
            name="comet",
            summary="Send metrics to Comet",
            factory=Ref("swift_plugin_comet.tracker:Comet"),
            options=Ref("swift_plugin_comet.tracker:CometOptions"),
            engines=ENGINES,
        )
    ]
