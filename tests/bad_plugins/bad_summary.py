"""Writes its summary as a sentence."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import LauncherSpec, Ref


@hookimpl
def swift_launchers():
    return [LauncherSpec(name="summary", summary="Starts nothing.", factory=Ref("swift_core.runs.local_launcher:LocalLauncher"))]
