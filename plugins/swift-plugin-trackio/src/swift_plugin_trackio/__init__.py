"""Training metrics in Trackio."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import CallbackSpec, Engine, Ref

ENGINES = (Engine(requirements=("trackio>=0.20",)),)


@hookimpl
def swift_callbacks() -> list[CallbackSpec]:
    """Return the tracker."""
    return [
        CallbackSpec(
            name="trackio",
            summary="Send metrics to Trackio",
            factory=Ref("swift_plugin_trackio.tracker:Trackio"),
            options=Ref("swift_plugin_trackio.tracker:TrackioOptions"),
            engines=ENGINES,
        )
    ]
