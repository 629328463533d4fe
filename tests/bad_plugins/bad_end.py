"""Ends the process at once while it is imported, so that nothing can catch it."""

from __future__ import annotations

import os

from swift_core import hookimpl
from swift_core.contract import LauncherSpec, Ref

os._exit(7)


@hookimpl
def swift_launchers():
    return [LauncherSpec(name="end", summary="Starts nothing", factory=Ref("swift_core.runs.local_launcher:LocalLauncher"))]
