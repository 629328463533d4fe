"""Says that all went well whatever happened."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import LauncherSpec, Ref


@hookimpl
def swift_launchers():
    return [LauncherSpec(name="launcher", summary="Does it badly", factory=Ref("faults.launchers:Optimist"))]
