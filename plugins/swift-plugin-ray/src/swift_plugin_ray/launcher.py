"""Start the Ray driver in a separate process, because Ray takes over threads, signals and output of the calling process."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from swift_core.contract import Watch
from swift_core.runs import WorkerCommand, watch_processes
from swift_plugin_ray.options import RayOptions

_GRACE = 60.0  # seconds that Ray has to stop its workers


class RayLauncher:
    """Launches a run on Ray. The run folder must be on a file system that all machines of the cluster share."""

    def __init__(self, options: RayOptions) -> None:
        self.options = options

    def launch(self, run: Path, *, processes: int, nodes: int, environment: Mapping[str, str], watch: Watch) -> int:
        """Start the driver, wait for it and return its exit code; see `roles.Launcher`."""
        job = {
            "run": str(run.resolve()),
            "workers": processes * nodes,
            "environment": dict(environment),
            "options": self.options.model_dump(),
        }
        command = [sys.executable, "-m", "swift_plugin_ray.driver", json.dumps(job)]
        return watch_processes([WorkerCommand(argv=command, env=environment, grace=_GRACE)], run, watch)
