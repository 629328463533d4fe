"""Options of the built-in launchers."""

from __future__ import annotations

from swift_core.options import Options, option


class TorchrunOptions(Options):
    """How the nodes find each other; each node runs the same command."""

    node_rank: int = option(0, "Number of this machine, from 0.", ge=0)
    master_addr: str = option("127.0.0.1", "Address of machine 0.")
    master_port: int = option(29500, "Port of machine 0 that the others reach.", ge=1, le=65535)
    max_restarts: int = option(0, "How often a failed group of workers is started again, from its last checkpoint.", ge=0)
