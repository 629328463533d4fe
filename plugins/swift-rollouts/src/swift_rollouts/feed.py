"""Rollouts as the sampler of the training loop: the rows of a step are sampled by a server that was given the weights so far.

A generation is sampled at once and trained for one or more steps. With `ahead` K, generation G + K is sampled, by the weights before
generation G is trained, while G is trained.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from shutil import copyfile
from types import TracebackType
from typing import TYPE_CHECKING, Any

from swift_train.online import Interrupted

from swift_core.contract import PeerFailed, SwiftError
from swift_core.system import make_folder
from swift_rollouts.generation import Generation
from swift_rollouts.policy import Version
from swift_rollouts.sampling import partial_file

if TYPE_CHECKING:
    from swift_train.online import Session

    from swift_rollouts.policy import Policy
    from swift_rollouts.samples import RolloutSamples
    from swift_rollouts.sampling import GroupSampler

_DONE, _STOP, _FAILED = 1.0, 2.0, 3.0  # states of the sampling, reduced over the ranks
_OF_TRAINING = ("staleness", "rollout_seconds")  # metrics that an evaluation lacks
_LONGEST_PAUSE = 0.5  # seconds between two looks

Build = Callable[[Generation], list["RolloutSamples"]]
Measure = Callable[[Generation], Mapping[str, float]]


class RolloutFeed:
    """A `MeasuringSampler` and `EvaluatingSampler`. One process asks the server; its files in the run folder are read by all.

    Args:
        session: the running training.
        sampler: samples generations; used by the writer.
        evaluation: samples answers to the held-out prompts; None: there are none.
        policy: publishes the weights.
        build: makes the samples of each step of a generation.
        measure: returns the metrics of a generation.
        steps: optimizer steps of a generation.
        iterations: passes over them.
        ahead: generations that are sampled ahead.
        last: number of the last generation.
        epoch: steps of an epoch.
        evaluated: returns the answers to the held-out prompts as rows, if their loss is a metric; None: it is not.
        earlier: run folders that this run resumes, newest first.
        held: is entered with the feed, by the writer.
    """

    def __init__(
        self, session: Session, sampler: GroupSampler, policy: Policy, *, build: Build, measure: Measure, steps: int, iterations: int,
        ahead: int, last: int, epoch: int, evaluation: GroupSampler | None = None, evaluated: Callable[[Generation], RolloutSamples] | None,
        earlier: Sequence[Path] = (), held: Sequence[AbstractContextManager[Any]] = (),
    ) -> None:  # fmt: skip
        self._session, self._sampler, self._evaluation, self._policy = session, sampler, evaluation, policy
        self._build, self._measure, self._evaluated = build, measure, evaluated
        self._steps, self._length, self._ahead, self._last = steps, steps * iterations, ahead, last
        self._earlier, self._held = list(earlier), list(held)
        self.steps_per_epoch: int | None = epoch
        self._ready: tuple[int, list[RolloutSamples], Mapping[str, float]] = (-1, [], {})
        self._jobs: dict[Path, _Job] = {}
        self._stack = ExitStack()

    def __enter__(self) -> RolloutFeed:
        if self._session.strategy.writer:
            for context in self._held:
                self._stack.enter_context(context)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._policy.close()
        self._stack.close()

    def step(self, index: int) -> tuple[RolloutSamples, list[int]]:
        """Return the samples of a step and their indices.

        Raises:
            Interrupted: a stop was requested while answers were awaited, or they could not be sampled.
        """
        number, place = divmod(index, self._length)
        if self._ready[0] != number:
            try:
                generation = self._generation(number)
                self._ready = (number, self._build(generation), self._measure(generation))
            except SwiftError as error:
                raise Interrupted(error) from error
        samples = self._ready[1][place % self._steps]
        return samples, list(range(len(samples)))

    def metrics(self) -> Mapping[str, float]:
        """Return the metrics of the generation."""
        return self._ready[2]

    def evaluate(self, step: int) -> tuple[Mapping[str, float], RolloutSamples | None]:
        """Sample answers to the held-out prompts with the present weights, and return their metrics, and them if a loss is needed."""
        assert self._evaluation is not None
        number, place = divmod(step, self._length)
        try:
            self._begin(self._evaluation, step, Version(number, step if place else 0))
            generation = self._sampled(self._evaluation, step)
            found = {name: value for name, value in self._measure(generation).items() if name not in _OF_TRAINING}
            return found, self._evaluated(generation) if self._evaluated else None
        except SwiftError as error:
            raise Interrupted(error) from error

    def position(self) -> dict[str, Any]:
        """Return nothing: the step number is enough."""
        return {}

    def seek(self, position: Mapping[str, Any]) -> None:
        """Do nothing: steps are found by their number."""

    def _generation(self, number: int) -> Generation:
        """Sample what is to be sampled with the present weights, wait for a generation, and read it. Collective."""
        for coming in range(number, min(number + self._ahead, self._last) + 1):
            self._begin(self._sampler, coming, Version(max(0, coming - self._ahead)))
        generation = self._sampled(self._sampler, number)
        self._policy.retire(number + 1 - self._ahead)
        return generation

    def _begin(self, sampler: GroupSampler, number: int, version: Version) -> None:
        """Begin to sample a generation, unless it is there already or is being sampled."""
        file = sampler.file(number)
        if file in self._jobs:
            return
        strategy = self._session.strategy
        missing = strategy.writer and not self._found(sampler, file)
        if not strategy.reduce(float(missing), "max"):
            return
        self._session.watchdog.stage(f"publishing the weights for {file.stem}")
        model = self._policy.publish(version)
        self._jobs[file] = _Job(lambda report: sampler.sample(number, version.generations, model, report))
        if strategy.writer:
            self._jobs[file].start()

    def _found(self, sampler: GroupSampler, own: Path) -> bool:
        """Return whether the file of a generation is there; one of a run that this one resumes is copied."""
        for path in (own, *(folder / own.parent.name / own.name for folder in self._earlier)):
            if path.is_file() and Generation.read(path).digest == sampler.digest:
                if path != own:
                    make_folder(own.parent)
                    for file in path.parent.glob(f"{path.stem}.*"):
                        copyfile(file, own.parent / file.name)
                return True
        self._copy_partial(partial_file(own))
        return False

    def _copy_partial(self, own: Path) -> None:
        """Copy the groups that had arrived when a run that this one resumes ended; they count if they are of the same weights."""
        found = next((path for folder in self._earlier if (path := folder / own.parent.name / own.name).is_file()), None)
        if found and not own.is_file():
            make_folder(own.parent)
            copyfile(found, own)

    def _sampled(self, sampler: GroupSampler, number: int) -> Generation:
        """Wait until a generation is sampled, and read it. Collective, and in short rounds, so that no operation waits for long."""
        file = sampler.file(number)
        session, job, pause = self._session, self._jobs.get(file), 0.01
        session.watchdog.stage(file.stem)
        while job:
            state = _STOP if session.report.stop_requested else job.state if session.strategy.writer else 0.0
            worst = session.strategy.reduce(state, "max")
            if worst == _DONE:
                break
            if worst == _STOP:
                raise Interrupted
            if worst == _FAILED:
                raise job.error or PeerFailed(
                    "the sampling failed, as reported by another process of the run", code="RL-004", hint="See log.txt."
                )
            session.watchdog.mark("waiting for answers")
            session.report.progress("rollouts", *job.progress, unit="prompts")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        self._jobs.pop(file, None)
        return Generation.read(file)


class _Job:
    """A function in a thread of its own, which reports progress."""

    def __init__(self, work: Callable[[Callable[[int, int], None]], None]) -> None:
        self._work = work
        self.state = 0.0
        self.error: SwiftError | None = None
        self.progress = (0, 1)

    def start(self) -> None:
        threading.Thread(target=self._run, name="rollouts", daemon=True).start()

    def _run(self) -> None:
        try:
            self._work(self._report)
        except SwiftError as error:
            self.error, self.state = error, _FAILED
        except BaseException as error:
            self.error, self.state = _unexpected(error), _FAILED
        else:
            self.state = _DONE

    def _report(self, done: int, total: int) -> None:
        self.progress = (done, total)


def _unexpected(error: BaseException) -> SwiftError:
    failure = SwiftError(f"the sampling failed: {type(error).__name__}: {error}", code="RL-005", hint="SWIFT_DEBUG=1 shows the traceback.")
    failure.__cause__ = error
    return failure
