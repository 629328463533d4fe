"""Cost of tokenising a corpus by an executor: CPU time of all its processes, to one process.

python benchmarks/corpus.py --rows 1000000 --executors local local:processes=2 ray:processes=2

The rows are short texts, the tokenizer is that of the tiny model. Ray needs swift-plugin-ray[engine].
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from swift_testing.rig import write_tiny_model

MARK = "SWIFT_BENCHMARK"
WORDS = [
    "snow",
    "road",
    "ice",
    "warning",
    "plough",
    "salt",
    "bridge",
    "night",
    "wind",
    "cold",
    "school",
    "train",
    "river",
    "people",
    "shovel",
    "light",
    "the",
    "a",
    "of",
    "in",
    "on",
    "and",
    "is",
    "to",
    "for",
]


def write_rows(path: Path, rows: int) -> None:
    chance = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            file.write(json.dumps({"text": f"{number} {' '.join(chance.choices(WORDS, k=18))}."}) + "\n")


def measure(folder: Path, executor: str, per_shard: int) -> tuple[float, float, dict]:
    """Return seconds, CPU seconds of all processes, and what the command printed."""
    token = secrets.token_hex(8)
    output = folder / f"{executor.replace(':', '-')}.tokens"
    command = [sys.executable, "-c", "import sys; from swift_core.start import main; sys.exit(main())", "data", "tokenize", "rows.jsonl"]
    words = ["--task", "pretrain", "--model", "model", "--output", str(output), "--executor", executor, "--rows-per-shard", str(per_shard)]
    start, used = time.monotonic(), dict[int, float]()
    process = subprocess.Popen([*command, *words, "--json"], cwd=folder, stdout=subprocess.PIPE, env={**os.environ, MARK: token})
    while process.poll() is None:
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if token.encode() in (path / "environ").read_bytes():
                    fields = (path / "stat").read_text().rpartition(") ")[2].split()
                    used[int(path.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            except OSError:
                continue
        time.sleep(1)
    assert process.returncode == 0, executor
    assert process.stdout
    return time.monotonic() - start, sum(used.values()), json.load(process.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rows-per-shard", type=int, default=50_000)
    parser.add_argument("--executors", nargs="+", default=["local", "local:processes=2", "ray:processes=2"])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_tiny_model(folder / "model")
        write_rows(folder / "rows.jsonl", given.rows)
        base, digests = 0.0, set[str]()
        print("| executor | seconds | CPU s | µs of CPU per row | to the first |\n|---|---|---|---|---|")
        for executor in given.executors:
            seconds, cpu, found = measure(folder, executor, given.rows_per_shard)
            base = base or cpu
            digests.add(found["digest"])
            print(f"| `{executor}` | {seconds:.0f} | {cpu:.1f} | {cpu / given.rows * 1e6:.0f} | {cpu / base:.2f} |", flush=True)
        assert len(digests) == 1, "every executor writes the same tokens"


if __name__ == "__main__":
    main()
