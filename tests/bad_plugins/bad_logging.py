"""Sets up logging for the whole process while it is imported."""

from __future__ import annotations

import logging

from swift_core import hookimpl
from swift_core.contract import LauncherSpec, Ref

logging.basicConfig(level=logging.DEBUG)


@hookimpl
def swift_launchers():
    return [LauncherSpec(name="logging", summary="Starts nothing", factory=Ref("swift_core.runs.local_launcher:LocalLauncher"))]
