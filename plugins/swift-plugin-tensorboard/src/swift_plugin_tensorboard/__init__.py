"""Training metrics in TensorBoard."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import CallbackSpec, Engine, Ref

ENGINES = (Engine(requirements=("tensorboardX>=2.6",)),)


@hookimpl
def swift_callbacks() -> list[CallbackSpec]:
    """Return the tracker."""
    return [
        CallbackSpec(
            name="tensorboard",
            summary="Send metrics to TensorBoard",
            factory=Ref("swift_plugin_tensorboard.tracker:TensorBoard"),
            options=Ref("swift_plugin_tensorboard.tracker:TensorBoardOptions"),
            engines=ENGINES,
        )
    ]
