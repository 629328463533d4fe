"""Starting the driver, a process of its own: Ray keeps threads, signals and output of whoever calls it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from swift_core.contract import Watch
from swift_core.runs import watch_processes
from swift_core.system import supervisor
from swift_plugin_ray.options import RayOptions

_GRACE = 60.0  # seconds for Ray to end its workers


class RayLauncher:
    """A run on Ray. The run folder lies on a disk that all machines of the cluster share."""

    def __init__(self, options: RayOptions) -> None:
        self.options = options

    def launch(self, run: Path, *, processes: int, nodes: int, environment: Mapping[str, str], watch: Watch) -> int:
        """Start the driver and wait for it; see `roles.Launcher`."""
        job = {
            "run": str(run.resolve()),
            "workers": processes * nodes,
            "environment": dict(environment),
            "options": self.options.model_dump(),
        }
        command = [sys.executable, "-m", "swift_plugin_ray.driver", json.dumps(job)]
        return watch_processes([(supervisor.argv(command, grace=_GRACE), environment)], run, watch)
