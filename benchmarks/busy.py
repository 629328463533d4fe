"""A training step beside other work: threads that wait asleep, as swift starts its workers, against threads that spin, as libraries do.

    python benchmarks/busy.py [--steps 3] [--rounds 1]

The step is "ours" of sft_step.py: LoRA on SmolLM2-135M, 4 rows of at most 512 tokens, with a thread on every core. It is taken alone and
beside a busy loop for each core, both ways in turn; medians of the steps, the first of each process not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sft_step import usual

from swift_core.system.threads import waiting

CORES = len(os.sched_getaffinity(0))
WAYS = {"asleep": waiting(), "spinning": {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}}  # the second are the libraries' defaults


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """So many processes that want a core each."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def steps(model: Path, rows: Path, number: int, variables: dict[str, str]) -> list[tuple[float, float]]:
    """Wall and CPU seconds of each step after the first."""
    words = [str(model), str(rows), "--steps", str(number), "--threads", str(CORES), "--side", "ours"]
    unset = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "KMP_", "GOMP_"))}
    environment = {**unset, **variables, "OMP_NUM_THREADS": str(CORES), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(Path(__file__).with_name("sft_step.py")), *words]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment).stdout
    found = json.loads(said.splitlines()[-1])
    return list(zip(found["wall"][1:], found["cpu"][1:], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    model, rows = usual(args.steps)
    for _ in range(args.rounds):
        for loops in (0, CORES):
            for way, variables in WAYS.items():
                with busy(loops):
                    found.setdefault((way, loops), []).extend(steps(model, rows, args.steps, variables))
    wall = {key: statistics.median(one[0] for one in each) for key, each in found.items()}
    cpu = {key: statistics.median(one[1] for one in each) for key, each in found.items()}
    alone = ("asleep", 0)
    print(
        f"{'threads':10} {'busy loops':>10} {'wall s':>8} {'to alone':>9} {'CPU s':>8} {'to alone':>9}   ({len(found[alone])} steps each)"
    )
    for way, loops in found:
        key = (way, loops)
        print(f"{way:10} {loops:10} {wall[key]:8.1f} {wall[key] / wall[alone]:9.2f} {cpu[key]:8.1f} {cpu[key] / cpu[alone]:9.2f}")


if __name__ == "__main__":
    main()
