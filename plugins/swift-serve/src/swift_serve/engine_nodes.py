"""An engine that spans several machines: the same command on each, with its own rank. Rank 0 has the API; the others only compute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swift_core.contract import UsageError
from swift_serve.roles import Backend, Command, EngineNode, Serving, SpanningBackend


def engine_node(options: Mapping[str, Any]) -> EngineNode | None:
    """Return which of the engine's machines this is; None for an engine on one machine.

    Args:
        options: those of the run: `engine_nodes`, `node_rank`, `master_addr`, `master_port`.

    Raises:
        UsageError: the rank is not below the number of machines, or the address of rank 0 is missing.
    """
    count, rank, address = int(options["engine_nodes"]), int(options["node_rank"]), str(options["master_addr"])
    if count == 1:
        if rank or address:
            hint = "Add --engine-nodes 2, or leave them out."
            raise UsageError(
                "node_rank and master_addr are of an engine on several machines", code="SERVE-102", where="engine_nodes", hint=hint
            )
        return None
    if rank >= count:
        raise UsageError(f"rank {rank} of {count} machines", code="SERVE-103", where="node_rank", hint=f"Ranks are 0 to {count - 1}.")
    if not address:
        hint = "Give the address at which the others reach the machine of rank 0."
        raise UsageError("an engine on several machines needs the address of rank 0", code="SERVE-104", where="master_addr", hint=hint)
    return EngineNode(rank=rank, nodes=count, address=address, port=int(options["master_port"]))


def spanning(backend: Backend, name: str) -> SpanningBackend:
    """Return a backend whose engine can span machines.

    Raises:
        UsageError: it can't.
    """
    if isinstance(backend, SpanningBackend):
        return backend
    hint = "Choose another --backend, such as vllm, or one machine."
    raise UsageError(f"the engine of the backend '{name}' does not span machines", code="SERVE-105", where="engine_nodes", hint=hint)


def engine_command(backend: Backend, name: str, serving: Serving, node: EngineNode | None) -> Command:
    """Return the command of an engine, or of its part on a machine. Raises as `spanning` and `Backend.command`."""
    return spanning(backend, name).node_command(serving, node) if node else backend.command(serving)
