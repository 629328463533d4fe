"""Columns of reference scores: what the model gives for each row before the first step, such as a reference policy's log-probabilities.

They are right for full fine-tuning without a second model in memory, and for adapters that do not start at zero (PiSSA, a continued
adapter), where switching the adapter off would give another policy. A resumed run computes them before it loads its checkpoint, and gets
the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from swift_core.contract import UsageError
from swift_train.samples import Samples
from swift_train.scoring import Step

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from swift_train.batches import Micro
    from swift_train.micro_batches import MicroBatches
    from swift_train.strategy import Strategy
    from swift_train.stream import Stream
    from swift_train.watchdog import WatchedTask

_ROWS = 128  # per rank, between two reports of progress


def add_columns(
    rows: Samples | Stream | None,
    task: WatchedTask,
    strategy: Strategy,
    batches: MicroBatches,
    progress: Callable[[int, int], None],
) -> None:
    """Compute the task's reference columns of all rows by the model as it is now, and add them to the samples. Collective.

    Args:
        rows: the samples; None adds nothing.
        task, strategy, batches: of the run.
        progress: receives the number of rows done, and of all.

    Raises:
        UsageError: the rows are streamed.
    """
    if rows is None:
        return
    if not isinstance(rows, Samples):
        message = "the reference is computed for all rows before the first step, so the rows can't be streamed"
        raise UsageError(message, code="TRAIN-102", where="data.streaming", hint="Omit --data.streaming.")
    every: dict[str, dict[int, NDArray[np.float32]]] = {name: {} for name in task.reference}
    size = _ROWS * strategy.data_size
    for start in range(0, len(rows), size):
        progress(start, len(rows))
        block = range(start, min(start + size, len(rows)))
        micros = batches.collate(rows, batches.evaluation(rows, block))
        step = Step(strategy, task, rows, block, train=False, batches=batches)
        for name, measure in task.reference.items():
            found = step.score(micros, measure)
            for part in step.gather(_by_row(micros, found) if found else None):
                every[name].update(part)
    progress(len(rows), len(rows))
    rows.columns.update({name: [found[row] for row in range(len(rows))] for name, found in every.items()})


def _by_row(micros: Sequence[Micro], found: Sequence[Tensor]) -> dict[int, NDArray[np.float32]]:
    """Return the values of each row's sequences, without those of fillers."""
    return {
        row: values[micro.sample == number].numpy()
        for micro, values in zip(micros, found, strict=True)
        for number, row in enumerate(micro.rows)
        if float(micro.sample_weights[number])
    }
