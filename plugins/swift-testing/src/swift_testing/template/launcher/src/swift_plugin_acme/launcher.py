"""Start workers under `nice`; the core's `watch_processes` relays their events and stops them on Ctrl-C."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from swift_core.contract import UsageError, Watch
from swift_core.runs import WorkerCommand, free_port, watch_processes
from swift_plugin_acme.options import AcmeOptions


class Acme:
    """Launches workers with a low priority."""

    def __init__(self, options: AcmeOptions) -> None:
        self.options = options

    def launch(self, run: Path, *, processes: int, nodes: int, environment: Mapping[str, str], watch: Watch) -> int:
        """Start the workers, wait for them and return the exit code; see `swift_core.contract.roles.Launcher`.

        Raises:
            UsageError: more than one node is requested.
        """
        if nodes > 1:
            message = "the launcher 'acme' supports a single node only"
            raise UsageError(message, where="launcher", hint="Use --launcher torchrun on each node.")
        command = ["nice", "-n", str(self.options.priority), sys.executable, "-m", "swift_core.runs.worker", str(run)]
        shared = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1"}
        shared |= {"MASTER_PORT": str(free_port()), **environment}
        ranks = [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]
        return watch_processes([WorkerCommand(argv=command, env=rank, control_pipe=True) for rank in ranks], run, watch)
