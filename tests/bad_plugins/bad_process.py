"""Asks another program while it is imported."""

from __future__ import annotations

import subprocess
import sys

from swift_core import hookimpl
from swift_core.contract import LauncherSpec, Ref

subprocess.run([sys.executable, "-c", ""], check=False)


@hookimpl
def swift_launchers():
    return [LauncherSpec(name="process", summary="Starts nothing", factory=Ref("swift_core.runs.local_launcher:LocalLauncher"))]
