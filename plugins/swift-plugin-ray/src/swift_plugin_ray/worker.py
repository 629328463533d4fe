"""The function that each Ray worker runs: preflight checks, then one process of the run with torchrun's environment variables."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray.train
import ray.util
import torch.distributed as dist
from swift_nodes.facts import SAME, differences, facts_of, unseen

from swift_core.contract import UsageError
from swift_core.runs import CONTROL_PIPE, Report
from swift_core.system import output_path, read_run

_STOPPED = 130


def work(job: Mapping[str, Any]) -> None:
    """Run one rank of the run and wait for its process.

    Args:
        job: `run` (the run folder), `folder` (the working directory), `environment` (variables of the process) and `keep` (report
            the resulting checkpoint to Ray).

    Raises:
        UsageError: this worker's environment differs from that of worker 0, or it does not see the run folder.
        RuntimeError: the process failed; Ray then restarts the workers if restarts are left.
    """
    context = ray.train.get_context()
    rank, run = context.get_world_rank(), Path(job["run"])
    os.chdir(job["folder"])
    _preflight(run, rank)
    variables = _rendezvous(rank) | {
        "RANK": str(rank),
        "WORLD_SIZE": str(context.get_world_size()),
        "LOCAL_RANK": str(context.get_local_rank()),
        "LOCAL_WORLD_SIZE": str(context.get_local_world_size()),
        CONTROL_PIPE: "1",  # when Ray ends this worker, the pipe closes, and the process saves a checkpoint and exits
    }
    with (run / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "swift_core.runs.worker", str(run)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,  # the events are in events.jsonl too
            stderr=log,
            env={**os.environ, **job["environment"], **variables},
        )
        code = process.wait()
    if code not in (0, _STOPPED):
        raise RuntimeError(f"process {rank} of the run ended with exit code {code}")
    output = output_path(read_run(run), run)
    if job["keep"]:  # Ray requires a report from every rank; rank 0 reports the checkpoint
        kept = ray.train.Checkpoint.from_directory(output) if rank == 0 and code == 0 and output.is_dir() else None
        ray.train.report({}, checkpoint=kept)


def _preflight(run: Path, rank: int) -> None:
    """Refuse workers that differ from worker 0 or don't see its run folder; every rank raises the same error."""
    mark = run / ".preflight"
    token = _broadcast(secrets.token_hex(8) if rank == 0 else None)
    if rank == 0:
        mark.write_text(token, encoding="utf-8")
    dist.barrier()
    sees = mark.is_file() and mark.read_text(encoding="utf-8") == token
    rows: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(rows, (socket.gethostname(), facts_of(run), sees))
    if rank == 0:
        mark.unlink()
    problems = []
    for number, (host, facts, seen) in enumerate(rows):
        they = f"worker {number} ({host})"
        problems += differences(rows[0][1], facts, we="worker 0", they=they)
        if not seen:
            problems.append(unseen(run, we="worker 0", they=they))
    if problems:
        error = UsageError("\n".join(problems), code="NODE-005", hint=SAME)
        if rank == 0:
            Report(run).error(error)
        raise error


def _rendezvous(rank: int) -> dict[str, str]:
    """Choose the rendezvous address of the run's processes: rank 0's machine and a free port there."""
    endpoint = None
    if rank == 0:
        with socket.create_server(("", 0)) as probe:
            endpoint = (ray.util.get_node_ip_address(), str(probe.getsockname()[1]))
    address, port = _broadcast(endpoint)
    return {"MASTER_ADDR": address, "MASTER_PORT": port}


def _broadcast(value: Any) -> Any:
    """Return rank 0's value on every rank."""
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]
