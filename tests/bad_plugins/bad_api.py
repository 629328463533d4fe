"""Wants a swift-core that does not exist yet."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import LauncherSpec, Ref

SWIFT_API = ">=99"


@hookimpl
def swift_launchers():
    return [LauncherSpec(name="api", summary="Starts nothing", factory=Ref("swift_core.runs.local_launcher:LocalLauncher"))]
