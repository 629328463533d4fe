"""Has a name that is awkward to type."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import LauncherSpec, Ref


@hookimpl
def swift_launchers():
    return [LauncherSpec(name="My Launcher", summary="Does it badly", factory=Ref("swift_core.runs.local_launcher:LocalLauncher"))]
