"""Greets while it is imported."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import LauncherSpec, Ref

print("Welcome!")


@hookimpl
def swift_launchers():
    return [LauncherSpec(name="print", summary="Starts nothing", factory=Ref("swift_core.runs.local_launcher:LocalLauncher"))]
