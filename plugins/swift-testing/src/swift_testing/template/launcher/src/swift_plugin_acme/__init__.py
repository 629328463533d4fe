"""A launcher: the workers run under `nice`, so that the machine stays usable beside a training."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract.specs import LauncherSpec, Ref


@hookimpl
def swift_launchers() -> list[LauncherSpec]:
    """One launcher, for this machine."""
    return [
        LauncherSpec(
            name="acme",
            summary="Processes on this machine, with a low priority",
            factory=Ref("swift_plugin_acme.launcher:Acme"),
            options=Ref("swift_plugin_acme.options:AcmeOptions"),
        )
    ]
