"""Starting a worker under `nice`; the core's `watch_processes` passes on its events and stops it on Ctrl-C."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from swift_core.errors import UsageError
from swift_core.launchers import watch_processes
from swift_core.roles import Watch
from swift_plugin_acme.options import AcmeOptions


class Acme:
    """One worker with a low priority."""

    def __init__(self, options: AcmeOptions) -> None:
        self.options = options

    def launch(self, run: Path, *, processes: int, nodes: int, environment: Mapping[str, str], watch: Watch) -> int:
        """Start it and wait; see `swift_core.roles.Launcher`."""
        if processes > 1 or nodes > 1:
            raise UsageError("the launcher 'acme' starts one process", where="launcher", hint="Use --launcher local or torchrun.")
        worker = [sys.executable, "-m", "swift_core.worker", str(run)]
        return watch_processes([(["nice", "-n", str(self.options.priority), *worker], environment)], run, watch)
