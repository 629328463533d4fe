"""Test helpers: train a model while all ranks are killed at random moments, resuming after each kill."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from swift_core.contract import Run, UsageError
from swift_core.system import write_run
from swift_train.resume import candidates
from swift_train.testing import Ranks, run_training

Step = tuple[float, float]  # loss and gradient norm
Moment = Callable[[Path], bool]  # whether an attempt is at a moment, by its run folder
_KINDS = ("start", "step", "step", "save", "save")
_TIMEOUT = 300.0  # seconds until an attempt must reach its kill, or its end


@dataclass(slots=True)
class KillReport:
    """The result of a training with kills: the distinct values of each step over all attempts, and the number of kills."""

    output: Path
    steps: dict[int, set[Step]] = field(default_factory=dict)
    kills: int = 0
    in_saves: int = 0  # kills that left a partial checkpoint
    moments: dict[str, int] = field(default_factory=dict)  # kills by kind of moment

    def add(self, folder: Path) -> None:
        """Add the steps in a run folder's metrics."""
        for number, step in steps_of(folder).items():
            self.steps.setdefault(number, set()).add(step)


def steps_of(folder: Path) -> dict[int, Step]:
    """Read the loss and gradient norm of each step from a run folder's metrics."""
    with suppress(FileNotFoundError):
        whole = (folder / "metrics.jsonl").read_text(encoding="utf-8").split("\n")[:-1]  # the last line may be incomplete
        lines = [json.loads(line) for line in whole]
        return {line["step"]: (line["loss"], line["grad_norm"]) for line in lines if "loss" in line}
    return {}


def check_kills(
    make: Callable[[str], Run], folder: Path, *, ranks: int = 1, kills: int, seed: int, moments: Mapping[str, Moment] | None = None,
    timeout: float = 600,
) -> KillReport:  # fmt: skip
    """Check that a run which is killed again and again ends bit for bit as one that is not: metrics of every step, and weights.

    Args:
        make, ranks, kills, seed, moments: as for `train_through_kills`.
        folder: parent of the run folders; `whole` is that of the run without kills.
        timeout: of the run without kills, in seconds.

    Raises:
        AssertionError: it does not.
    """
    whole = folder / "whole"

    def train() -> None:
        run_training(make(""), whole)

    Ranks(ranks, train).results(timeout)
    survived = train_through_kills(make, folder, ranks=ranks, kills=kills, seed=seed, moments=moments)
    assert survived.kills == kills
    assert {number: {step} for number, step in steps_of(whole).items()} == survived.steps
    files = sorted(path.name for path in (whole / "output").glob("*.safetensors"))
    assert files == sorted(path.name for path in survived.output.glob("*.safetensors"))
    assert files
    assert all((survived.output / name).read_bytes() == (whole / "output" / name).read_bytes() for name in files)
    return survived


def train_through_kills(
    make: Callable[[str], Run], folder: Path, *, ranks: int, kills: int, seed: int, moments: Mapping[str, Moment] | None = None
) -> KillReport:
    """Train to the end while killing all ranks with SIGKILL `kills` times, resuming from the last checkpoint each time.

    The moments are random: of five kills, one is at the start, two are in a step and two in a save, in random order. In half of them one
    rank is killed before the others. An attempt that will be killed pauses before its last step, so that it can't end before its kill.

    Args:
        make: returns the run that resumes from a run folder ('' starts from scratch).
        folder: parent of the attempts' run folders.
        ranks: number of processes.
        seed: of the random moments.
        moments: further moments by name, told by an attempt's run folder, such as sampling; each is added to the five.
    """
    chance, attempt, resume = random.Random(seed), 0, ""
    survived, kinds, own = KillReport(folder), list[str](), moments or {}
    every = [*_KINDS, *own]
    while True:
        attempt += 1
        home = folder / f"attempt-{attempt}"
        run = make(resume)
        write_run(run, home)
        if survived.kills == kills:
            Ranks(ranks, partial(run_training, run, home)).results(_TIMEOUT)
            survived.add(home)
            survived.output = home / "output"
            return survived
        group = Ranks(ranks, partial(run_training, run, home, held=True))
        kinds = kinds or chance.sample(every, len(every))
        kind = kinds.pop()
        _wait_for_moment(group, home, kind, chance, own.get(kind))
        if not all(process.is_alive() for process in group.processes):
            group.results(_TIMEOUT)  # raises the error of a failed rank
            raise AssertionError("the training ended before it was killed")
        _kill(group, chance)
        survived.kills += 1
        survived.moments[kind] = survived.moments.get(kind, 0) + 1
        survived.in_saves += bool(list((home / "checkpoints").glob(".step-*")))
        survived.add(home)
        with suppress(UsageError):  # no checkpoint yet: start from scratch
            candidates(home)
            resume = str(home)


def _wait_for_moment(group: Ranks, home: Path, kind: str, chance: random.Random, moment: Moment | None = None) -> None:
    if kind == "start":
        time.sleep(chance.uniform(0, 1.5))
        return
    begun = chance.randint(1, 4)
    _until(group, lambda: len(steps_of(home)) >= begun or (home / "held").exists())
    if moment:
        _until(group, lambda: moment(home) or (home / "held").exists())
        time.sleep(chance.uniform(0, 0.01))
    elif kind == "save":
        _until(group, lambda: bool(list((home / "checkpoints").glob(".step-*"))) or (home / "held").exists())
        time.sleep(chance.uniform(0, 0.01))  # a save of a tiny model is short
    else:
        time.sleep(chance.uniform(0, 0.2))


def _until(group: Ranks, happened: Callable[[], bool]) -> None:
    end = time.monotonic() + _TIMEOUT
    while all(process.is_alive() for process in group.processes) and not happened():
        assert time.monotonic() < end, "the training makes no progress"
        time.sleep(0.001)


def _kill(group: Ranks, chance: random.Random) -> None:
    processes = chance.sample(group.processes, len(group.processes))
    for number, process in enumerate(processes):
        if number == 1 and chance.random() < 0.5:
            time.sleep(chance.uniform(0, 0.3))
        with suppress(ProcessLookupError):
            os.kill(process.pid or 0, signal.SIGKILL)
    for process in processes:
        process.join()
