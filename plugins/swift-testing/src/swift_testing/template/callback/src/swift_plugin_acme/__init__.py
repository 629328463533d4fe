"""A callback: it logs a moving average of the loss, and ends a training whose loss rises far above it."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import CallbackSpec, Ref


@hookimpl
def swift_callbacks() -> list[CallbackSpec]:
    """Return one callback, which `--callback acme` chooses."""
    return [
        CallbackSpec(
            name="acme",
            summary="Log a moving average of the loss, and end a training that diverges",
            factory=Ref("swift_plugin_acme.callback:Acme"),
            options=Ref("swift_plugin_acme.options:AcmeOptions"),
        )
    ]
