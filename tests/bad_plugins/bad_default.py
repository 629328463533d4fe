"""Has a default that is not valid."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import LauncherSpec, Ref


@hookimpl
def swift_launchers():
    return [
        LauncherSpec(name="default", summary="Does it badly", factory=Ref("faults.options:Launcher"), options=Ref("faults.options:Default"))
    ]
