"""Samples with a second sequence: the prompt of each with another one's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from swift_train.samples import Sample, Samples

from swift_core.contract import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Mismatched(Samples):
    """Samples of one sequence each, with a second one: its prompt with its media, and the supervised tokens of another sample.

    The other sample is the one before in a random order of all samples, fixed by `seed`.

    Raises:
        UsageError: there is only one sample.
    """

    def __init__(self, samples: Samples, seed: int) -> None:
        super().__init__(*samples.selection)
        if len(self) < 2:
            message = "there is only one row, but the KL estimate needs the answers of other rows"
            raise UsageError(message, code="TRAIN-105", where="dataset", hint="Provide more rows.")
        order = np.random.default_rng(seed).permutation(len(self))
        self._other = np.empty(len(self), np.int64)
        self._other[order] = np.roll(order, 1)
        own = [super(Mismatched, self).sequences(index)[0] for index in range(len(self))]
        prompts = np.array([_prompt_length(sample) for sample in own])
        answers = self.supervised[self._other]
        self.lengths = self.lengths + prompts + answers
        self.supervised = self.supervised + answers
        self.counts = np.full(len(self), 2, np.int64)

    def sequences(self, index: int) -> list[Sample]:
        """Return the sample's own sequence and the second one."""
        own, other = (super(Mismatched, self).sequences(place)[0] for place in (index, int(self._other[index])))
        prompt, answer = own.ids[: _prompt_length(own)], other.ids[other.supervised]
        weights = np.concatenate([np.zeros(len(prompt), np.float32), np.ones(len(answer), np.float32)])
        columns = {**own.columns, **{name: float(values[index][1]) for name, values in self.columns.items()}}
        return [own, Sample(np.concatenate([prompt, answer]), weights, own.origin, columns, own.media)]


def _prompt_length(sample: Sample) -> int:
    supervised: NDArray[np.bool_] = sample.supervised
    return int(supervised.argmax())
