"""The command that is a node, for the launchers that have it started: see `swift_nodes.__main__`."""

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
    """The arguments. `node`, `host` and `port` may be names of variables that hold them over there.

    Args:
        run: the run folder, as every node sees it.
        python: the interpreter, as every node has it.
        nodes: how many; `fewest` are enough to go on when some are lost (0: none may be).
        processes: workers a node.
        node: number of the node, from 0.
        host: address of node 0.
        port: its port.
        restarts: how often the workers are started again.
        wait: seconds that the last node to come may take.
        local_addr: the node's own address, where its host name does not lead to it.
        conclude: whether node 0 records how the run ended, since no command waits for it.
    """
    argv = [python, "-m", "swift_nodes", str(run), f"--node={node}", f"--nodes={nodes}", f"--processes={processes}"]
    argv += [f"--host={host}", f"--port={port}", f"--fewest={fewest}", f"--restarts={restarts}", f"--wait={wait}"]
    return argv + ([f"--local-addr={local_addr}"] if local_addr else []) + (["--conclude"] if conclude else [])
