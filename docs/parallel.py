"""Writes docs/reference/parallel.md: how far every strategy is from one process, with every tuner, on a tiny model on the CPU.

Each cell is a training of two epochs over rows of very different lengths: eight rows a step, cut over the processes and into
micro-steps, and a last step of fewer; longer gradients are clipped. Texts are packed, conversations are not. A combination that a
plugin's check refuses is not run; its reason is in the table.

python docs/parallel.py [STRATEGY …]     fails where a cell is further away than the bound; the rows of other strategies stay as they are

An interpreter with DeepSpeed writes the rows of ZeRO: python docs/parallel.py zero1 zero2 zero3
One with megatron-core writes Megatron's; the lane megatron installs it into a folder in the cache of tests:
PYTHONPATH=~/.cache/swift-core/tests/megatron-core==0.19.2 python docs/parallel.py megatron
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from swift_testing.rig import write_tiny_model
from swift_train.testing import on_ranks, ragged_chats, run_training, training_run, write_rows

from swift_core.contract import Run, TunerSpec
from swift_core.plugins import engines, registry

PAGE = Path(__file__).parent / "reference" / "parallel.md"
BOUND = 1e-5
TUNERS = {"full": {}, "lora": {"dropout": 0.0}, "dora": {"dropout": 0.0}, "qlora": {"dropout": 0.0}}
TASKS: Mapping[str, Mapping[str, Any]] = {"pretrain": {"packing": True, "max_length": 64}, "sft": {}}
PROCESSES = (1, 2, 4)
SIZES: Mapping[str, Mapping[int, Mapping[str, int]]] = {  # by processes
    "mesh": {2: {"tensor": 2}, 4: {"data": 2, "tensor": 2}},
    "megatron": {2: {"tensor": 2}, 4: {"tensor": 2, "pipeline": 2}},
}
ROWS, ROWS_A_STEP = 19, 8
LEARNING = {"batch_size": 1, "epochs": 2, "max_grad_norm": 0.5, "learning_rate": 3e-3}

Curve = Sequence[tuple[float, float]]  # loss and gradient norm of each step


class Cell(NamedTuple):
    """What a combination gave: differences of loss and of gradient norm, or why it is refused."""

    loss: float = 0.0
    norm: float = 0.0
    refused: str = ""

    @property
    def good(self) -> bool:
        """Whether it is within the bound; a NaN is not."""
        return bool(self.refused) or (self.loss <= BOUND and self.norm <= BOUND)

    def __str__(self) -> str:
        return self.refused or ", ".join("0" if not value else f"{value:.0e}" for value in (self.loss, self.norm))


class Bench:
    """The model, the rows, and the curves of one process that all others are held against."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.runs = folder, 0
        self.model = write_tiny_model(folder / "model")
        texts = [{"text": " ".join(turn["content"] for turn in row["messages"])} for row in ragged_chats(3 * ROWS)]
        self.rows = {
            "sft": write_rows(folder / "chats.jsonl", ragged_chats(ROWS)),
            "pretrain": write_rows(folder / "texts.jsonl", texts),
        }
        self.alone: dict[tuple[str, str], Curve] = {}

    def cell(self, strategy: str, tuner: str, task: str, processes: int) -> Cell:
        """Train so, and compare."""
        run = self._run(strategy, tuner, task, processes)
        if reason := refusal(run):
            return Cell(refused=reason)
        if (tuner, task) not in self.alone:
            self.alone[tuner, task] = self._curve(self._run("ddp", tuner, task, 1), 1)
        pairs = list(zip(self._curve(run, processes), self.alone[tuner, task], strict=True))
        assert any(norm > LEARNING["max_grad_norm"] for _, (_, norm) in pairs), "no gradient was clipped"
        return Cell(max(abs(ours[0] - theirs[0]) for ours, theirs in pairs), max(abs(a[1] - b[1]) / b[1] for a, b in pairs))

    def _run(self, strategy: str, tuner: str, task: str, processes: int) -> Run:
        sizes = SIZES.get(strategy, {}).get(processes, {})
        run = training_run(
            self.model, self.rows[task], task=task, tuner=tuner, tuner_options=TUNERS[tuner], parallel=strategy, parallel_options=sizes,
            gradient_accumulation_steps=ROWS_A_STEP // processes * prod(size for name, size in sizes.items() if name != "data"),
            verb_options={"processes": processes}, **LEARNING, **TASKS[task],
        )  # fmt: skip
        if implied := registry().get(TunerSpec, tuner).implies:
            run = replace(run, parts={**run.parts, "quantizer": registry().choose("quantizer", implied)})
        return run

    def _curve(self, run: Run, processes: int) -> Curve:
        self.runs += 1
        metrics = on_ranks(processes, partial(run_training, run, self.folder / f"run-{self.runs}"))[0]
        return [(line["loss"], line["grad_norm"]) for line in metrics if "loss" in line]


def refusal(run: Run) -> str:
    """The first reason why the plugins' checks refuse a run; empty where they don't."""
    answers = [problem for _, answer in registry().plugins.ask("swift_check", run=run) for problem in answer or ()]
    return next((f"{problem.message}. {problem.hint}" for problem in answers if problem.fatal), "")


def strategies(asked: Sequence[str]) -> list[str]:
    """Those of the training loop that are installed, engine and all; one that brings a trainer of its own is tested by its plugin."""
    return [
        entry.spec.name
        for entry in registry().entries("parallel")
        if entry.spec.trains is None
        and entry.spec.name in (asked or [entry.spec.name])
        and engines.engine_state(entry.spec, entry.plugin.distribution).present
    ]


def line(strategy: str, tuner: str, task: str, cells: Sequence[Cell]) -> str:
    """A row of the table; a reason that holds for any number of processes is said once."""
    shown = [str(cell) for cell in cells]
    if cells[0].refused and len(set(shown)) == 1:
        shown = [f"refused: {shown[0]}", *[""] * (len(cells) - 1)]
    return f"| {strategy} | {tuner} | {task} | {' | '.join(shown)} |"


def kept(page: Path) -> dict[str, list[str]]:
    """The rows that the page has, by strategy."""
    rows: dict[str, list[str]] = {}
    for text in page.read_text(encoding="utf-8").splitlines() if page.is_file() else ():
        if text.startswith("| ") and not text.startswith("| strategy"):
            rows.setdefault(text.split("|")[1].strip(), []).append(text)
    return rows


def write(page: Path, rows: Mapping[str, Sequence[str]]) -> None:
    """Write the page."""
    counts = " | ".join(f"{count} process{'es' if count > 1 else ''}" for count in PROCESSES)
    head = f"""\
# Parallel strategies

<!-- Written by docs/parallel.py (make test-full LANE=parallel). -->

The largest difference from one process of ddp with the same rows a step: of the loss, and of the gradient's norm (as a part of it).
float32, a tiny Llama, the CPU with gloo, torch {version("torch")}; two epochs in steps of {ROWS_A_STEP} rows of very different lengths,
in up to eight micro-steps a process, the last step of an epoch with fewer; texts packed; gradients clipped; dropout 0. More than
{BOUND:.0e} fails. With dropout the processes draw numbers of their own, so no curve is that of one process; that a run with dropout goes on
exactly after a stop is tested for each strategy. mesh is tensor 2 on two processes, and data 2 × tensor 2 on four; megatron is tensor 2
on two, and tensor 2 × pipeline 2 on four.

Rows of a strategy whose engine the interpreter lacks stay as they were: zero1, zero2 and zero3 were run with DeepSpeed 0.19.8, megatron
with megatron-core 0.19.2.

| strategy | tuner | task | {counts} |
|---|---|---|{"---|" * len(PROCESSES)}
"""
    page.write_text(head + "\n".join(text for name in sorted(rows) for text in rows[name]) + "\n", encoding="utf-8")


def main(asked: Sequence[str]) -> int:
    """Run every combination of the strategies and write the page; returns how many are beyond the bound."""
    rows, beyond = kept(PAGE), 0
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for strategy in strategies(asked):
            rows[strategy] = []
            for tuner, task in product(TUNERS, TASKS):
                cells = [bench.cell(strategy, tuner, task, processes) for processes in PROCESSES]
                rows[strategy].append(line(strategy, tuner, task, cells))
                bad = sum(not cell.good for cell in cells)
                beyond += bad
                sys.stderr.write(f"{rows[strategy][-1]}{'  BEYOND THE BOUND' if bad else ''}\n")
    write(PAGE, rows)
    return beyond


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
