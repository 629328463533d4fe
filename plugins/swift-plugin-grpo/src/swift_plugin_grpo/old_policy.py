"""Log-probabilities of sampled answers by the model as it was before their generation was trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from swift_rollouts.samples import RolloutRow, RolloutSamples

from swift_core.system import make_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from swift_train.batches import Micro
    from swift_train.scoring import Step
    from swift_train.tasks import Measure


class OldPolicy:
    """The log-probabilities of a generation's rows. They are computed once, and kept in a file for runs that resume within it.

    Args:
        steps: the computed rows of each step.
        file: where they are kept, as an array over all tokens.
    """

    def __init__(self, steps: Sequence[Sequence[RolloutRow]], file: Path) -> None:
        self._rows = [row for rows in steps for row in rows]
        self._file = file
        self._values: list[NDArray[np.float32]] = []

    def ensure(self, step: Step, measure: Measure) -> None:
        """Compute or read the values. Collective; the first call must precede the first update with these rows.

        Args:
            step: any step of the generation.
            measure: returns the log-probability of each sampled token.
        """
        if self._values:
            return
        lengths = [row.answer.sampled for row in self._rows]
        known = np.load(self._file) if self._file.is_file() else np.zeros(0, np.float32)
        if step.reduce(float(len(known) != sum(lengths)), "max"):
            known = self._computed(step, measure)
            if step.strategy.writer:
                make_folder(self._file.parent)
                partial = self._file.with_suffix(".partial.npy")
                np.save(partial, known)
                partial.replace(self._file)
        self._values = np.split(known, np.cumsum(lengths)[:-1])

    def _computed(self, step: Step, measure: Measure) -> NDArray[np.float32]:
        samples = RolloutSamples(self._rows, sampled=len(self._rows), tokens=0)
        micros = step.batches.training(samples, range(len(samples)))
        own: dict[int, NDArray[np.float32]] = {}
        for micro, values in zip(micros, step.score(micros, measure), strict=False):  # no output before the last stage of a pipeline
            for number, row in enumerate(micro.rows):
                if float(micro.sample_weights[number]):
                    own[row] = values[micro.sequence == number].numpy()
        every: dict[int, NDArray[np.float32]] = {}
        for part in step.gather(own or None):
            every |= part
        return np.concatenate([every[row] for row in range(len(self._rows))])

    def added(self, micro: Micro, first: int) -> Micro:
        """Return a micro-batch with the column `old`; `first` is the index of its step's first row among all."""
        values = torch.from_numpy(np.concatenate([self._values[first + row] for row in micro.rows]))
        return replace(micro, columns={**micro.columns, "old": values})
