"""The command line of torch's elastic launcher: a rendezvous at node 0, restarts, and fewer nodes where some may be lost."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from swift_core.nodes.preflight import Meeting


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The workers: so many a node, on between `fewest` and `nodes` nodes; `local` is this node's address, where its name is none."""

    processes: int
    nodes: int = 1
    fewest: int = 1
    restarts: int = 0
    local: str = ""


def command(folder: Path, group: Group, meeting: Meeting | None = None) -> list[str]:
    """What starts this node's workers; without a meeting place, those of one machine."""
    argv = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={group.processes}", f"--max-restarts={group.restarts}"]
    if meeting is None or group.nodes == 1:
        argv += ["--nnodes=1", "--standalone"]
    else:
        argv += [
            f"--nnodes={group.fewest}:{group.nodes}",
            "--rdzv-backend=c10d",
            f"--rdzv-endpoint={meeting.host}:{meeting.port}",
            f"--rdzv-id={folder.name}",
            f"--rdzv-conf=is_host={int(meeting.node == 0)},join_timeout={int(meeting.wait)}",
        ]
        argv += [f"--local-addr={group.local}"] if group.local else []
    return [*argv, "-m", "swift_core.worker", str(folder)]
