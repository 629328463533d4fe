"""Start-up with many plugins, as ratios to none in one run.

    python benchmarks/plugins.py [--counts 10 50 200] [--runs 9]

Synthetic thin distributions (a module that offers a tuner with options, and a dist-info with its entry point) are put on the path beside
what is installed. Each command is a cold process; they alternate, and medians of CPU time (user + system of the process tree) are compared
with those without any. `swift --help` must not grow, `swift plugins` by about a millisecond a plugin.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import ratio

COMMANDS = {"swift --help": ["--help"], "swift plugins": ["plugins"]}
MODULE = '''"""A synthetic plugin."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract.specs import Engine, Ref, TunerSpec


@hookimpl
def swift_tuners() -> list[TunerSpec]:
    """One tuner."""
    return [
        TunerSpec(
            name="synthetic-{number}",
            summary="A tuner that is not there",
            factory=Ref("swift_plugin_synthetic_{number}.tuner:Tuner"),
            options=Ref("swift_plugin_synthetic_{number}.options:TunerOptions"),
            trains="adapter",
            engines=(Engine(requirements=("click>=8",)),),
        )
    ]
'''


def install(site: Path, count: int) -> None:
    """What pip leaves of so many thin distributions."""
    for number in range(count):
        name = f"swift_plugin_synthetic_{number}"
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: swift-plugin-synthetic-{number}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[swift.plugins]\nsynthetic-{number} = {name}\n")
        (site / name).mkdir()
        (site / name / "__init__.py").write_text(MODULE.format(number=number))


def seconds(site: Path, words: list[str]) -> float:
    """CPU seconds of one process tree."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", "from swift_core.start import main; main()", *words]  # as the script `swift` does
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(site), "COLUMNS": "100"}
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    count = sum(1 for _ in site.glob("*.dist-info"))
    if words == ["plugins"]:
        assert done.stdout.count("\nsynthetic-") == count, "not every synthetic plugin was loaded"
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[10, 50, 200])
    parser.add_argument("--runs", type=int, default=9)
    given = parser.parse_args()
    counts = [0, *given.counts]
    times: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        sites = {count: Path(folder) / str(count) for count in counts}
        for count, site in sites.items():
            site.mkdir()
            install(site, count)
        time.sleep(3)  # what was installed just now is not kept yet
        for turn in range(given.runs + 1):
            for name, words in COMMANDS.items():
                for count, site in sites.items():
                    taken = seconds(site, words)
                    if turn:  # the first fills caches: bytecode, files
                        times.setdefault((name, count), []).append(taken)
    print(f"{'command':16} {'plugins':>8} {'CPU s':>8} {'to none':>8} {'ms each':>8}   (medians of {given.runs})")
    for name in COMMANDS:
        none = statistics.median(times[name, 0])
        for count in counts:
            median = statistics.median(times[name, count])
            each = f"{(median - none) * 1000 / count:8.2f}" if count else f"{'':8}"
            print(f"{name:16} {count:8} {median:8.3f} {median / none:8.2f} {each}")
            if count:
                ratio(f"{name} with {count} plugins to none", median / none, "lower")


if __name__ == "__main__":
    main()
