"""Test helpers for tasks, tuners and strategies: small training runs, and ranks forked from the test process."""

from __future__ import annotations

import ctypes
import importlib
import json
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from swift_core.checkpoints import Checkpoint
from swift_core.contract import DataChoice, Run
from swift_core.plugins import registry
from swift_core.runs import Report, free_port
from swift_train.build import source_of
from swift_train.callbacks import PART
from swift_train.samples import Samples
from swift_train.store import Store, StoreWriter
from swift_train.tokenise import Encoded, Span

Rows = Sequence[Mapping[str, Any]]
_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of the C library's mallopt


def ragged_chats(count: int) -> list[dict[str, Any]]:
    """Return conversations of very different lengths; every third has two turns."""
    rows = []
    for number in range(count):
        turns = 2 if number % 3 == 0 else 1
        messages = []
        for turn in range(turns):
            messages.append({"role": "user", "content": f"Question {number}.{turn}? " + "why " * (number % 5)})
            messages.append({"role": "assistant", "content": "Because. " * (1 + (number * 7 + turn) % 11)})
        rows.append({"messages": messages})
    return rows


def write_rows(path: Path, rows: Rows) -> Path:
    """Write rows as JSONL; return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def samples_of(folder: Path, rows: Sequence[tuple[Sequence[int], Sequence[tuple[int, int, float]]]]) -> Samples:
    """Return samples with the given token ids and supervised spans (start, stop, weight), in a store in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with StoreWriter(folder) as writer:
        for number, (ids, spans) in enumerate(rows, 1):
            writer.add(Encoded(np.array(ids, np.int32), tuple(Span(*span) for span in spans)), "rows", number)
        writer.finish()
    return Samples([Store(folder)])


def training_run(
    model: Path,
    rows: Path,
    *,
    task: str = "sft",
    tuner: str = "lora",
    tuner_options: Mapping[str, Any] | None = None,
    parallel: str = "ddp",
    parallel_options: Mapping[str, Any] | None = None,
    validation: Path | None = None,
    verb_options: Mapping[str, Any] | None = None,
    callbacks: Mapping[str, Mapping[str, Any]] | None = None,
    **task_options: Any,
) -> Run:
    """Return a training run on the CPU in float32 without weight decay; `task_options` are the options of the task."""
    known = registry()

    def data(path: Path) -> DataChoice:
        return DataChoice(**asdict(known.choose("dataset", "file", {"path": str(path)})), asked=str(path))

    source = source_of(model, hash=Checkpoint.at(model).hash())
    return Run(
        verb=task,
        job="swift_train.job:train",
        model=source,
        options={"device": "cpu", "dtype": "float32", "attention": "auto", "trust_remote_code": False, **(verb_options or {})},
        parts={
            "task": known.choose("task", task, task_options),
            "tuner": known.choose("tuner", tuner, tuner_options or {}),
            "optimizer": known.choose("optimizer", "adamw", {"weight_decay": 0.0, "beta2": 0.999}),
            "parallel": known.choose("parallel", parallel, parallel_options or {}),
            "loader": known.choose("loader", "transformers"),
            **{f"{PART}{name}": known.choose("callback", name, options) for name, options in (callbacks or {}).items()},
        },
        datasets=(data(rows),),
        validation=(data(validation),) if validation else (),
    )


def run_training(run: Run, folder: Path, *, stop_after: int | None = None, held: bool = False) -> list[dict[str, Any]]:
    """Carry out a training run in this process.

    Args:
        run: the run.
        folder: its run folder.
        stop_after: request a stop after this step has been reported.
        held: before its last step, create a file `held` in the folder and wait forever, so that a test can kill the run.

    Returns:
        The metrics of each reported step.
    """
    from swift_core.contract import Stopped
    from swift_train.job import train

    folder.mkdir(parents=True, exist_ok=True)
    report = Recorder(folder, stop_after, held=held)
    try:
        train(run, report)
    except Stopped:
        assert stop_after
    return report.metrics


def memory_grown() -> Callable[[], int]:
    """Return a function that measures the growth of this process's peak memory since now, in bytes; Linux only."""
    ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 1 << 20)  # freed memory is returned to the system at once
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # reset the peak
    before = _peak_memory()
    return lambda: _peak_memory() - before


def _peak_memory() -> int:
    (line,) = [line for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines() if line.startswith("VmHWM")]
    return 1024 * int(line.split()[1])


class Recorder(Report):
    """A report that records the metrics, on every rank; `stop_after` and `held` as in `run_training`."""

    def __init__(self, folder: Path, stop_after: int | None = None, *, held: bool = False) -> None:
        super().__init__(folder, speaks=os.environ.get("RANK", "0") == "0")
        self.metrics: list[dict[str, Any]] = []
        self.stop_after, self.held = stop_after, held

    def metric(self, step: int, **values: float) -> None:
        """Record the metric; request a stop after step `stop_after`."""
        super().metric(step, **values)
        self.metrics.append({"step": step, **values})
        if self.stop_after and step >= self.stop_after:
            self.request_stop()

    def progress(self, what: str, done: int, total: int | None, *, unit: str = "", **figures: float) -> None:
        """Report progress; if `held`, wait forever before the last step."""
        super().progress(what, done, total, unit=unit, **figures)
        while self.held and what == "train" and total and done >= total - 1:
            (self.folder / "held").touch()
            time.sleep(1)


class Ranks:
    """Run `work` in `count` forked processes, with torchrun's environment variables set.

    They are forked, so that imports happen only once: what ranks have imported is imported here before the next ones are forked. They have
    one thread each, since OpenMP's thread pool does not survive a fork.
    """

    _imported: ClassVar[set[str]] = set()  # by ranks, and not yet here

    def __init__(self, count: int, work: Callable[[], Any]) -> None:
        while self._imported:
            with suppress(Exception):
                importlib.import_module(self._imported.pop())
        context = multiprocessing.get_context("fork")
        self._results: Any = context.SimpleQueue()
        self._work = work
        self._shared = {
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free_port()),
        }
        self.processes = [context.Process(target=self._run, args=(rank,), daemon=True) for rank in range(count)]
        for process in self.processes:
            process.start()

    def _run(self, rank: int) -> None:
        os.environ.update(self._shared, RANK=str(rank), LOCAL_RANK=str(rank))
        torch.set_num_threads(1)
        inherited = set(sys.modules)
        try:
            value = self._work()
            self._results.put((rank, value, "", set(sys.modules) - inherited))
        except BaseException:
            self._results.put((rank, None, traceback.format_exc(), set()))
        finally:
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()

    def results(self, timeout: float) -> list[Any]:
        """Wait for all ranks; return what each returned, by rank.

        Args:
            timeout: seconds after which ranks that still run are killed.

        Raises:
            AssertionError: a rank failed (with its traceback), or did not end in time.
        """
        found: dict[int, tuple[Any, str]] = {}
        end = time.monotonic() + timeout
        while any(process.is_alive() for process in self.processes) and time.monotonic() < end:
            self._collect(found)  # continuously: a full pipe blocks its writer
            time.sleep(0.01)
        self._collect(found)
        late = [process for process in self.processes if process.is_alive()]
        for process in late:
            process.kill()
        failures = [f"rank {rank}:\n{failure}" for rank, (_, failure) in sorted(found.items()) if failure]
        assert not failures, "\n".join(failures)
        count = len(self.processes)
        assert len(found) == count, f"{len(late)} of {count} ranks did not end in {timeout} s, {count - len(found)} returned nothing"
        return [found[rank][0] for rank in range(count)]

    def _collect(self, found: dict[int, tuple[Any, str]]) -> None:
        while not self._results.empty():
            rank, value, failure, imported = self._results.get()
            found[rank] = (value, failure)
            self._imported.update(imported)


def on_ranks(count: int, work: Callable[[], Any], *, timeout: float = 600) -> list[Any]:
    """Call `work` in `count` forked processes; return what each returned, by rank. Raises as `Ranks.results` does."""
    return Ranks(count, work).results(timeout)
