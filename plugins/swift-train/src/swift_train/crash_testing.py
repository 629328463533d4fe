"""For the tests of strategies: a training that is killed at random instants, again and again, and goes on each time."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from swift_core.contract.errors import UsageError
from swift_core.contract.run import Run, write_run
from swift_train.resume import candidates
from swift_train.testing import Ranks, run_training

Step = tuple[float, float]  # loss and gradient norm
_KINDS = ("start", "step", "step", "save", "save")
_LONGEST = 300.0  # seconds that an attempt may take until its kill is due, or to its end


@dataclass(slots=True)
class KillReport:
    """What became of a training: its steps by number, each time that one was done, and how it was killed."""

    output: Path
    steps: dict[int, set[Step]] = field(default_factory=dict)
    kills: int = 0
    in_saves: int = 0  # of these, so many left a checkpoint half written

    def add(self, folder: Path) -> None:
        """Count in what a run folder reports."""
        for number, step in steps_of(folder).items():
            self.steps.setdefault(number, set()).add(step)


def steps_of(folder: Path) -> dict[int, Step]:
    """The steps that a run folder reports."""
    with suppress(FileNotFoundError):
        whole = (folder / "metrics.jsonl").read_text(encoding="utf-8").split("\n")[:-1]  # the last one may be being written
        lines = [json.loads(line) for line in whole]
        return {line["step"]: (line["loss"], line["grad_norm"]) for line in lines if "loss" in line}
    return {}


def train_through_kills(make: Callable[[str], Run], folder: Path, *, ranks: int, kills: int, seed: int) -> KillReport:
    """Train, kill all ranks with SIGKILL `kills` times, going on from what there is each time, and then to the end.

    The instants are random: one of five of the start, two of a step, two of a save once it has begun, mixed. Half the time one rank dies
    alone first.
    A training that is to be killed waits before its last step, so that none ends before its kill, however fast the machine is.

    Args:
        make: the run that goes on from a run folder ('' begins).
        folder: where each attempt gets a run folder.
        seed: of the instants.
    """
    chance, attempt, resume = random.Random(seed), 0, ""
    survived, kinds = KillReport(folder), list[str]()
    while True:
        attempt += 1
        home = folder / f"attempt-{attempt}"
        run = make(resume)
        write_run(run, home)
        if survived.kills == kills:
            Ranks(ranks, partial(run_training, run, home)).results(_LONGEST)
            survived.add(home)
            survived.output = home / "output"
            return survived
        group = Ranks(ranks, partial(run_training, run, home, held=True))
        kinds = kinds or chance.sample(_KINDS, len(_KINDS))
        _wait_for_an_instant(group, home, kinds.pop(), chance)
        if not all(process.is_alive() for process in group.processes):
            group.results(_LONGEST)  # raises what a rank failed of
            raise AssertionError("it ended by itself")
        _kill(group, chance)
        survived.kills += 1
        survived.in_saves += bool(list((home / "checkpoints").glob(".step-*")))
        survived.add(home)
        with suppress(UsageError):  # none yet: begin anew
            candidates(home)
            resume = str(home)


def _wait_for_an_instant(group: Ranks, home: Path, kind: str, chance: random.Random) -> None:
    if kind == "start":
        time.sleep(chance.uniform(0, 1.5))
        return
    begun = chance.randint(1, 4)
    _until(group, lambda: len(steps_of(home)) >= begun or (home / "held").exists())
    if kind == "save":
        _until(group, lambda: bool(list((home / "checkpoints").glob(".step-*"))) or (home / "held").exists())
        time.sleep(chance.uniform(0, 0.01))  # a save of a tiny model is short
    else:
        time.sleep(chance.uniform(0, 0.2))


def _until(group: Ranks, happened: Callable[[], bool]) -> None:
    end = time.monotonic() + _LONGEST
    while all(process.is_alive() for process in group.processes) and not happened():
        assert time.monotonic() < end, "nothing happens"
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
