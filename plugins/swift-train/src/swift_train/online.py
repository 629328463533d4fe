"""Training on rows that are sampled while the model is trained, such as rollouts of reinforcement learning.

The rows of the data sets are then prompts. The task makes a sampler from them: it gives the weights so far to a server, asks it for
answers, and returns these as the rows of a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from swift_train.sampler import StepSampler
from swift_train.tasks import LossTask

if TYPE_CHECKING:
    from swift_core.contract import Run, SwiftError
    from swift_core.runs import Report
    from swift_train.resume import Resume
    from swift_train.samples import Samples
    from swift_train.strategy import Strategy
    from swift_train.trainer import Trainer
    from swift_train.watchdog import Watchdog


class Interrupted(Exception):
    """A sampler can't return its next step, on any rank: the run is to save a checkpoint and end.

    Args:
        error: why; None if the user has requested a stop.
    """

    def __init__(self, error: SwiftError | None = None) -> None:
        super().__init__()
        self.error = error


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The running training, for a task that samples its rows.

    Attributes:
        run, report: of the run.
        strategy: the parallel strategy, already built.
        watchdog: is to be told of progress while answers are awaited.
        trainer: has the model, and writes its weights. They are those before the first step, also in a run that resumes.
        rows_per_step: over all ranks.
        context: the model's maximum context length, in tokens.
        vocabulary: number of the model's token ids.
        heldout: the rows for evaluation, if there are any.
        resume: the checkpoints that the run resumes from, if it does.
    """

    run: Run
    report: Report
    strategy: Strategy
    watchdog: Watchdog
    trainer: Trainer
    rows_per_step: int
    context: int
    vocabulary: int
    heldout: Samples | None
    resume: Resume | None


@runtime_checkable
class MeasuringSampler(StepSampler, Protocol):
    """A sampler that measures its steps."""

    def metrics(self) -> Mapping[str, float]:
        """Return the metrics of the last step, by name; the same on every rank."""
        ...


@runtime_checkable
class EvaluatingSampler(StepSampler, Protocol):
    """A sampler that evaluates the model on the held-out rows, such as prompts whose answers are sampled."""

    def evaluate(self, step: int) -> tuple[Mapping[str, float], Samples | None]:
        """Return the metrics after a step by name, the most important one first, and rows whose loss is a metric too. Collective.

        Raises:
            Interrupted: a stop was requested meanwhile, or the rows could not be evaluated.
        """
        ...


def metrics_of(sampler: StepSampler) -> Mapping[str, float]:
    """Return the metrics of a sampler's last step; none of one that does not measure."""
    return sampler.metrics() if isinstance(sampler, MeasuringSampler) else {}


@runtime_checkable
class OnlineTask(LossTask, Protocol):
    """A task whose rows are sampled during the training."""

    def feed(self, prompts: Samples, session: Session) -> AbstractContextManager[StepSampler]:
        """Return the sampler of the training rows; left at the end of the training, however it ends.

        Args:
            prompts: the encoded rows of the data sets.
            session: the running training.
        """
        ...
