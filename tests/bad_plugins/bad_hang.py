"""Waits for something while it is imported."""

from __future__ import annotations

import time

from swift_core import hookimpl
from swift_core.contract import LauncherSpec, Ref

time.sleep(1000)


@hookimpl
def swift_launchers():
    return [LauncherSpec(name="hang", summary="Starts nothing", factory=Ref("swift_core.runs.local_launcher:LocalLauncher"))]
