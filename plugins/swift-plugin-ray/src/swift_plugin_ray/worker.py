"""What each worker of the trainer does: compare itself with the others, then start the run's own process with torchrun's variables."""

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
    """Do one rank of the run."""
    context = ray.train.get_context()
    rank, run = context.get_world_rank(), Path(job["run"])
    os.chdir(job["folder"])
    _preflight(run, rank)
    variables = _meeting_place(rank) | {
        "RANK": str(rank),
        "WORLD_SIZE": str(context.get_world_size()),
        "LOCAL_RANK": str(context.get_local_rank()),
        "LOCAL_WORLD_SIZE": str(context.get_local_world_size()),
        CONTROL_PIPE: "1",  # when Ray ends this worker, the pipe closes, and the process saves and ends
    }
    with (run / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "swift_core.runs.worker", str(run)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,  # events.jsonl has it
            stderr=log,
            env={**os.environ, **job["environment"], **variables},
        )
        code = process.wait()
    if code not in (0, _STOPPED):
        raise RuntimeError(f"process {rank} of the run ended with code {code}")
    output = output_path(read_run(run), run)
    if job["keep"]:  # all ranks report, the first what is kept
        kept = ray.train.Checkpoint.from_directory(output) if rank == 0 and code == 0 and output.is_dir() else None
        ray.train.report({}, checkpoint=kept)


def _preflight(run: Path, rank: int) -> None:
    """Refuse workers that differ from the first, or don't see its folder; every rank hears it and ends."""
    mark = run / ".preflight"
    written = _shared(secrets.token_hex(8) if rank == 0 else None)
    if rank == 0:
        mark.write_text(written, encoding="utf-8")
    dist.barrier()
    sees = mark.is_file() and mark.read_text(encoding="utf-8") == written
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
        error = UsageError("\n".join(problems), hint=SAME)
        if rank == 0:
            Report(run).error(error)
        raise error


def _meeting_place(rank: int) -> dict[str, str]:
    """Address and port at which the run's own processes meet: rank 0's machine, and a port that is free there now."""
    place = None
    if rank == 0:
        with socket.create_server(("", 0)) as probe:
            place = (ray.util.get_node_ip_address(), str(probe.getsockname()[1]))
    address, port = _shared(place)
    return {"MASTER_ADDR": address, "MASTER_PORT": port}


def _shared(value: Any) -> Any:
    """Rank 0's value, for all."""
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]
