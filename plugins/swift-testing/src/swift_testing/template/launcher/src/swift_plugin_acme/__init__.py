"""A launcher: the workers run under `nice`, so that the machine stays responsive during a training."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import LauncherSpec, Ref


@hookimpl
def swift_launchers() -> list[LauncherSpec]:
    """Return one launcher, for this machine."""
    return [
        LauncherSpec(
            name="acme",
            summary="Local processes with a low priority",
            factory=Ref("swift_plugin_acme.launcher:Acme"),
            options=Ref("swift_plugin_acme.options:AcmeOptions"),
        )
    ]
