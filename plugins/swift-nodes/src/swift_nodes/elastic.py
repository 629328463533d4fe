"""The command line of torch's elastic launcher (`torch.distributed.run`): rendezvous at node 0, restarts, elastic node count."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from swift_nodes.preflight import Meeting

# Without it torch 2.13 reuses the rendezvous store after a restart, and the new workers wait for those of the first attempt.
_FRESH_STORE = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"

GRACE = 60.0  # seconds for workers to save after a request to stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The worker group: `processes` per node, on `fewest` to `nodes` nodes; `local` is this node's address, '' for its host name."""

    processes: int
    nodes: int = 1
    fewest: int = 1
    restarts: int = 0
    local: str = ""


def command(folder: Path, group: Group, meeting: Meeting | None = None) -> list[str]:
    """Return the command that starts this node's workers; without `meeting`, a single-node run."""
    argv = ["env", _FRESH_STORE, sys.executable, "-m", "torch.distributed.run"]
    argv += [f"--nproc-per-node={group.processes}", f"--max-restarts={group.restarts}"]
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
    return [*argv, "-m", "swift_core.runs.worker", str(folder)]
