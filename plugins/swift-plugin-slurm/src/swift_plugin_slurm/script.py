"""Build the batch script for sbatch; it starts one task per node, which runs one node of the run."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from swift_nodes.command import node_command

from swift_plugin_slurm.options import SlurmOptions

_HEAD = 'export SWIFT_HEAD_NODE="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"'


def script(run: Path, options: SlurmOptions, *, processes: int, nodes: int, environment: Mapping[str, str]) -> str:
    """Return the text of the batch script for the run in folder `run`, a path that all nodes share."""
    command = node_command(
        run,
        python=options.python or sys.executable,
        nodes=nodes,
        processes=processes,
        node="SLURM_NODEID",
        host="SWIFT_HEAD_NODE",
        port=options.port,
        restarts=options.max_restarts,
        wait=options.wait,
        conclude=not (options.submit and options.follow),
    )
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH {argument}" for argument in _arguments(run, options, nodes)),
        "",
        "set -eo pipefail",
        *options.setup,
        *(f"export {name}={shlex.quote(value)}" for name, value in environment.items()),
        _HEAD,
        f"cd {shlex.quote(str(Path.cwd()))}",
        "",
        f"srun --kill-on-bad-exit=1 --ntasks={nodes} --ntasks-per-node=1 {shlex.join(command)}",
    ]
    return "\n".join(lines) + "\n"


def _arguments(run: Path, options: SlurmOptions, nodes: int) -> Iterator[str]:
    yield f"--job-name={_quoted(options.job_name or run.name)}"
    yield f"--nodes={nodes}"
    yield "--ntasks-per-node=1"
    yield f"--output={_quoted(str(run / 'slurm-%j.txt'))}"
    yield "--open-mode=append"
    if options.grace:
        yield f"--signal=TERM@{options.grace}"
    values = {"partition": options.partition, "account": options.account, "qos": options.qos, "time": options.time}
    values |= {"mem": options.memory, "constraint": options.constraint}
    values |= {"gpus-per-node": str(options.gpus or ""), "cpus-per-task": str(options.cpus or "")}
    yield from (f"--{name}={_quoted(value)}" for name, value in values.items() if value)
    yield from options.extra


def _quoted(value: str) -> str:
    """Quote a value for an #SBATCH line if needed: sbatch accepts spaces inside double quotes."""
    return f'"{value}"' if any(sign in value for sign in " \t#'") else value
