"""Asks the network for its version while it is imported, and hides that it failed."""

from __future__ import annotations

import socket
from contextlib import suppress

from swift_core import hookimpl
from swift_core.contract import LauncherSpec, Ref

with suppress(OSError):
    socket.create_connection(("192.0.2.1", 80), timeout=1)


@hookimpl
def swift_launchers():
    return [LauncherSpec(name="network", summary="Starts nothing", factory=Ref("swift_core.runs.local_launcher:LocalLauncher"))]
