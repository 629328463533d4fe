"""The command line of a node, for launchers that start it."""

from __future__ import annotations

from pathlib import Path


def node_command(
    run: Path,
    *,
    python: str,
    nodes: int,
    processes: int,
    node: int | str = 0,
    host: str = "127.0.0.1",
    port: int | str = 29500,
    fewest: int = 0,
    restarts: int = 0,
    wait: float = 120.0,
    local_addr: str = "",
    conclude: bool = False,
) -> list[str]:
    """Return the command of a node. `node`, `host` and `port` may be names of environment variables on that machine.

    Args:
        run: path of the run folder, the same on every node.
        python: path of the interpreter, the same on every node.
        nodes: number of nodes.
        processes: worker processes per node.
        node: rank of the node, from 0.
        host: address of node 0.
        port: port of node 0.
        fewest: minimum number of nodes to continue with when others fail (0: all).
        restarts: maximum number of restarts of the workers.
        wait: seconds to wait for all nodes to connect.
        local_addr: the node's own address, if its host name does not resolve to it.
        conclude: let node 0 record the result of the run, since no command waits for it.
    """
    argv = [python, "-m", "swift_nodes", str(run), f"--node={node}", f"--nodes={nodes}", f"--processes={processes}"]
    argv += [f"--host={host}", f"--port={port}", f"--fewest={fewest}", f"--restarts={restarts}", f"--wait={wait}"]
    return argv + ([f"--local-addr={local_addr}"] if local_addr else []) + (["--conclude"] if conclude else [])
