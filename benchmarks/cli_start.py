"""Start-up of the command line, with everything that is installed, as ratios in one run.

    python benchmarks/cli_start.py [--runs 15]

Each command is a cold process (the schema cache is warm, as for a user's second call); they alternate, and the medians of CPU
time (user + system of the process tree) are compared with `python -c pass` and with importing click.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time

from figures import ratio

SWIFT = [sys.executable, "-c", "from swift_core.start import main; main()"]  # as the script `swift` does
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "python -c 'import click'": [sys.executable, "-c", "import click"],
    "swift --help": [*SWIFT, "--help"],
    "swift sft --help": [*SWIFT, "sft", "--help"],
    "swift plugins": [*SWIFT, "plugins"],
}


def measure(command: list[str]) -> tuple[float, float]:
    """CPU and wall seconds of one process tree."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "COLUMNS": "100"})
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for command in COMMANDS.values():
        measure(command)  # warm the file cache and the schemas
    for _ in range(runs):
        for name, command in COMMANDS.items():
            times[name].append(measure(command))
    cpu = {name: statistics.median(item[0] for item in found) for name, found in times.items()}
    wall = {name: statistics.median(item[1] for item in found) for name, found in times.items()}
    bare, click = cpu["python -c pass"], cpu["python -c 'import click'"]
    print(f"{'command':28} {'CPU s':>8} {'wall s':>8} {'to bare':>8} {'to click':>9}   (medians of {runs})")
    for name in COMMANDS:
        print(f"{name:28} {cpu[name]:8.3f} {wall[name]:8.3f} {cpu[name] / bare:8.1f} {cpu[name] / click:9.1f}")
        if name.startswith("swift"):
            ratio(f"{name} to python -c pass", cpu[name] / bare, "lower")


if __name__ == "__main__":
    main()
