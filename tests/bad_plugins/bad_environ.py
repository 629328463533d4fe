"""Sets a variable for the whole process while it is imported."""

from __future__ import annotations

import os

from swift_core import hookimpl
from swift_core.contract import LauncherSpec, Ref

os.environ["ACME_VERBOSITY"] = "quiet"


@hookimpl
def swift_launchers():
    return [LauncherSpec(name="environ", summary="Starts nothing", factory=Ref("swift_core.runs.local_launcher:LocalLauncher"))]
