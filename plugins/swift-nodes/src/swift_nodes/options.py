"""Options of the built-in launchers."""

from __future__ import annotations

from swift_core.options.model import Options, option


class TorchrunOptions(Options):
    """How the nodes find each other; each node runs the same command, or one that has a hostfile starts them all."""

    node_rank: int = option(0, "Number of this machine, from 0.", ge=0)
    master_addr: str = option("127.0.0.1", "Address of machine 0.")
    master_port: int = option(29500, "Port of machine 0 that the others reach.", ge=1, le=65535)
    local_addr: str = option("", "Address of this machine for the others, where its host name does not lead to it.")
    max_restarts: int = option(0, "How often a failed group of workers is started again, from its last checkpoint.", ge=0)
    min_nodes: int = option(0, "With how few machines to go on when others are lost (with max_restarts); 0: with all alone.", ge=0)
    hostfile: str = option("", "File of lines 'HOST slots=4': the machines to start on, the first being machine 0.")
    remote_shell: str = option("ssh", "What starts a command on another host.")
    wait: float = option(120.0, "Seconds that the last machine may take to come.", gt=0)
