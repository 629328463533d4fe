"""Keeps a cache beside itself while it is imported."""

from __future__ import annotations

import tempfile
from pathlib import Path

from swift_core import hookimpl
from swift_core.contract import LauncherSpec, Ref

Path(tempfile.gettempdir(), "swift-bad-plugin").write_text("cache")


@hookimpl
def swift_launchers():
    return [LauncherSpec(name="files", summary="Starts nothing", factory=Ref("swift_core.runs.local_launcher:LocalLauncher"))]
