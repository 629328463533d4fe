"""Imports a library that every command then pays for."""

from __future__ import annotations

import numpy as np

from swift_core import hookimpl
from swift_core.contract import LauncherSpec, Ref

ZERO = np.zeros(1)


@hookimpl
def swift_launchers():
    return [LauncherSpec(name="heavy-import", summary="Starts nothing", factory=Ref("swift_core.runs.local_launcher:LocalLauncher"))]
