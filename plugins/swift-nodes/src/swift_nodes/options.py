"""Options of launchers on several machines, and of the torchrun launcher."""

from __future__ import annotations

from swift_core.options import Options, option


class RestartOptions(Options):
    """Options of every launcher that restarts workers."""

    max_restarts: int = option(0, "Maximum number of restarts of a failed worker group, from its last checkpoint.", ge=0)


class ClusterOptions(RestartOptions):
    """Options of every launcher that submits a job to a cluster."""

    follow: bool = option(True, "Wait for the job and show its progress.")
    gpus: int = option(0, "GPUs per node; set the number of processes separately with --processes.", ge=0)
    port: int = option(29500, "Rendezvous port on node 0.", ge=1, le=65535)


class TorchrunOptions(RestartOptions):
    """Rendezvous and restarts; each node runs the same command, or one node with a hostfile starts all of them."""

    node_rank: int = option(0, "Rank of this machine, from 0.", ge=0)
    master_addr: str = option("127.0.0.1", "Address of the machine with rank 0.")
    master_port: int = option(29500, "Rendezvous port on the machine with rank 0.", ge=1, le=65535)
    local_addr: str = option("", "Address of this machine for the others, if its host name does not resolve to it.")
    min_nodes: int = option(0, "Minimum number of machines to continue with when others fail (requires max_restarts); 0: all.", ge=0)
    hostfile: str = option("", "File with lines 'HOST slots=4': the machines to start on; the first has rank 0.")
    remote_shell: str = option("ssh", "Command that runs a command on another host.")
    wait: float = option(120.0, "Seconds to wait for all machines to connect.", gt=0)
