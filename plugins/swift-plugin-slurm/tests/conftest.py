"""A stand-in for Slurm, since there is none: commands of those names, which run a job's tasks as processes on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

COMMANDS = {
    "sbatch": """#!/bin/bash
script=${@: -1}
bash -n "$script" || exit 1
job=$(date +%N)
nodes=$(sed -n 's/^#SBATCH --nodes=//p' "$script")
output=$(sed -n 's/^#SBATCH --output=//p' "$script" | tr -d '"')
( SLURM_JOB_ID=$job SLURM_JOB_NODELIST=node[1-$nodes] SLURM_NNODES=$nodes bash "$script" > "${output//%j/$job}" 2>&1
  echo $? > "$SLURM_STAND_IN/$job" ) > /dev/null 2>&1 &
echo $! > "$SLURM_STAND_IN/$job.pid"
echo "$job"
""",
    "scontrol": """#!/bin/bash
if [ "$2" = hostnames ]; then echo localhost; exit; fi
job=${@: -1}
if [ ! -e "$SLURM_STAND_IN/$job" ]; then echo "JobId=$job JobState=RUNNING ExitCode=0:0"; exit; fi
code=$(cat "$SLURM_STAND_IN/$job")
echo "JobId=$job JobState=$([ "$code" = 0 ] && echo COMPLETED || echo FAILED) Reason=None ExitCode=$code:0 Other=x"
""",
    "srun": """#!/bin/bash
tasks=1
while [[ $1 == --* ]]; do case $1 in --ntasks=*) tasks=${1#--ntasks=};; esac; shift; done
pids=()
for ((node = 0; node < tasks; node++)); do SLURM_NODEID=$node SLURM_PROCID=$node "$@" & pids+=($!); done
trap 'kill -TERM "${pids[@]}"' TERM
code=0
for pid in "${pids[@]}"; do wait "$pid" || code=$?; done
exit $code
""",
    "scancel": """#!/bin/bash
touch "$SLURM_STAND_IN/cancelled-$1"
""",
}


@pytest.fixture
def slurm(tmp_path_factory, monkeypatch) -> Path:
    """The folder where the stand-in keeps what happened."""
    folder = tmp_path_factory.mktemp("slurm")
    for name, text in COMMANDS.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("SLURM_STAND_IN", str(folder))
    return folder
