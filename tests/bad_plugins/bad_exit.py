"""Ends the program while it is imported."""

from __future__ import annotations

import sys

from swift_core import hookimpl
from swift_core.contract import LauncherSpec, Ref

sys.exit(3)


@hookimpl
def swift_launchers():
    return [LauncherSpec(name="exit", summary="Starts nothing", factory=Ref("swift_core.runs.local_launcher:LocalLauncher"))]
