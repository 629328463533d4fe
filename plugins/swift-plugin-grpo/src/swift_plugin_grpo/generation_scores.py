"""Numbers of each sampled token of a generation, by the model as it was before the generation was trained: log-probabilities, values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    from torch import Tensor

Score = Callable[["Step", Sequence["Micro"]], Sequence["Tensor"]]  # (tokens, numbers) of each micro-batch; none of other pipeline stages
Rows = Sequence[Mapping[str, "NDArray[np.float32]"]]  # numbers by name, of each row


class GenerationScores:
    """The numbers of a generation's rows. They are computed once, and kept in a file for runs that resume within it.

    Args:
        steps: the computed rows of each step.
        names: of the numbers, which become columns of the micro-batches.
        file: where they are kept, as an array of all tokens by names.
        complete: adds numbers that follow from those of all rows, such as advantages.
    """

    def __init__(
        self, steps: Sequence[Sequence[RolloutRow]], names: Sequence[str], file: Path, complete: Callable[[Rows], Rows] = lambda rows: rows
    ) -> None:
        self._rows = [row for rows in steps for row in rows]
        self._names, self._file, self._complete = list(names), file, complete
        self._values: Rows = []

    def ensure(self, step: Step, score: Score) -> None:
        """Compute or read the numbers. Collective; the first call must precede the first update with these rows.

        Args:
            step: any step of the generation.
            score: computes the numbers of micro-batches.
        """
        if self._values:
            return
        lengths, shape = [row.answer.sampled for row in self._rows], (sum(row.answer.sampled for row in self._rows), len(self._names))
        known = np.load(self._file) if self._file.is_file() else np.zeros((0, 0), np.float32)
        if step.reduce(float(known.shape != shape), "max"):
            known = self._computed(step, score)
            if step.strategy.writer:
                make_folder(self._file.parent)
                partial = self._file.with_suffix(".partial.npy")
                np.save(partial, known)
                partial.replace(self._file)
        parts = np.split(known, np.cumsum(lengths)[:-1])
        self._values = self._complete([{name: part[:, place] for place, name in enumerate(self._names)} for part in parts])

    def _computed(self, step: Step, score: Score) -> NDArray[np.float32]:
        samples = RolloutSamples(self._rows, sampled=len(self._rows), tokens=0)
        micros = step.batches.training(samples, range(len(samples)))
        own: dict[int, NDArray[np.float32]] = {}
        for micro, values in zip(micros, score(step, micros), strict=False):  # no output before the last stage of a pipeline
            for number, row in enumerate(micro.rows):
                if float(micro.sample_weights[number]):
                    own[row] = values[micro.sequence == number].numpy()
        every: dict[int, NDArray[np.float32]] = {}
        for part in step.gather(own or None):
            every |= part
        return np.concatenate([every[row] for row in range(len(self._rows))])

    def added(self, micro: Micro, first: int) -> Micro:
        """Return a micro-batch with the numbers as columns; `first` is the index of its step's first row among all."""
        found = [self._values[first + row] for row in micro.rows]
        columns = {name: torch.from_numpy(np.concatenate([row[name] for row in found])) for name in found[0]}
        return replace(micro, columns={**micro.columns, **columns})
