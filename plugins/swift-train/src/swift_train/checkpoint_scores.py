"""Scores of checkpoints that come after their step, from an evaluation beside the training; they are known on rank 0.

If such a score is `metric_for_best_model`, checkpoints that have none yet are kept, and the output waits for them. Every due checkpoint is
scored, in order, so that the best one does not depend on how long an evaluation takes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from swift_core.contract import Ref
from swift_core.system import write_json
from swift_train.checkpoints import RECORD, Ranking, read_record

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_core.runs import Report
    from swift_train.callbacks import Callbacks
    from swift_train.options import TrainOptions
    from swift_train.strategy import Strategy

_PAUSE = 0.5  # seconds between two looks at what scores checkpoints


@runtime_checkable
class ScoresCheckpoints(Protocol):
    """Options of a callback that scores checkpoints after they are saved."""

    def scores_checkpoints(self, metric: str) -> bool:
        """Return whether it gives a metric of that name."""
        ...


def is_late(run: Run, metric: str) -> bool:
    """Return whether a callback of the run gives the metric for checkpoints after they are saved."""
    for choice in run.parts.values():
        if choice.kind == "callback" and choice.options_class:
            options = Ref(choice.options_class).load().checked(dict(choice.options))
            if isinstance(options, ScoresCheckpoints) and options.scores_checkpoints(metric):
                return True
    return False


def ranking_of(run: Run, options: TrainOptions) -> Ranking:
    """Return which evaluation is the best one, as the options of the task say."""
    metric, greater = options.metric_for_best_model, options.greater_is_better
    return Ranking(metric, not metric.endswith("loss") if greater is None else greater, late=is_late(run, metric))


class CheckpointScores:
    """The scores that are awaited and that have arrived."""

    def __init__(self) -> None:
        self.awaited: dict[int, Path] = {}  # step → checkpoint that is kept until it has its score
        self.arrived: deque[tuple[int, Mapping[str, float]]] = deque()  # step and scores, of which the callbacks have not been told
        self.closed = False  # no further checkpoint counts

    def expect(self, step: int, checkpoint: Path) -> None:
        """Keep a checkpoint until it has its score."""
        self.awaited[step] = checkpoint

    def add(self, step: int, checkpoint: Path, scores: Mapping[str, float]) -> None:
        """Write the scores into the checkpoint, if it still exists, and tell the callbacks next."""
        if record := read_record(checkpoint):
            with suppress(OSError):  # removed, or the disk is full: as without this checkpoint
                write_json(checkpoint / RECORD, {**record, "metrics": {**record.get("metrics", {}), **scores}})
        self.awaited.pop(step, None)
        self.arrived.append((step, scores))

    def give_up(self, step: int) -> None:
        """There will be no score of a checkpoint."""
        self.awaited.pop(step, None)

    def close(self) -> None:
        """Wait for no more scores: the checkpoints that have none do not count."""
        self.awaited.clear()
        self.closed = True


def wait_for_scores(callbacks: Callbacks, strategy: Strategy, report: Report) -> bool:
    """Call the callbacks' `on_wait` until no score is awaited; return False if a stop was requested meanwhile. Collective."""
    scores = callbacks.training.scores
    if strategy.reduce(float(len(scores.awaited)), "max"):
        report.note("The steps are done; the output waits for the scores of checkpoints, which decide which one is the best.")
    while strategy.reduce(float(len(scores.awaited)), "max"):
        if strategy.reduce(float(report.wait_for_stop(_PAUSE)), "max"):
            return False
        callbacks.call("on_wait")
    return True
