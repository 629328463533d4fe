"""Which rows each step has: of samples that are all there, in the order of (seed, epoch); or of a stream, part by part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from swift_train.batches import Sampler
from swift_train.packing import best_fit
from swift_train.samples import Samples

if TYPE_CHECKING:
    from swift_train.options import TrainOptions
    from swift_train.stream import Stream


class StepSampler(Protocol):
    """Gives steps in rising order; `epoch` is how many steps an epoch has, None where that is not known."""

    epoch: int | None

    def step(self, index: int) -> tuple[Samples, list[int]]:
        """The samples that step `index` takes its rows from, and which of them."""
        ...

    def position(self) -> dict[str, Any]:
        """Where it is, for a checkpoint, as JSON."""
        ...

    def seek(self, position: Mapping[str, Any]) -> None:
        """Go where a checkpoint was."""
        ...


def make_sampler(rows: Samples | Stream, per_step: int, options: TrainOptions, longest: int) -> StepSampler:
    """The feed of a training run: `per_step` rows (or packs of at most `longest` tokens) a step, over all ranks."""
    if isinstance(rows, Samples):
        return _Stored(rows, per_step, options, longest)
    return _Streamed(rows, per_step, options, longest)


class _Stored:
    def __init__(self, samples: Samples, per_step: int, options: TrainOptions, longest: int) -> None:
        self._samples = samples
        self._sampler = _sampler(samples, per_step, options, longest)
        self.epoch: int | None = self._sampler.steps_per_epoch

    def step(self, index: int) -> tuple[Samples, list[int]]:
        return self._samples, self._sampler.step(index)

    def position(self) -> dict[str, Any]:
        return {}  # the step's number is enough

    def seek(self, position: Mapping[str, Any]) -> None:
        pass


class _Streamed:
    epoch: int | None = None

    def __init__(self, stream: Stream, per_step: int, options: TrainOptions, longest: int) -> None:
        self._stream, self._per_step, self._options, self._longest = stream, per_step, options, longest
        self._current: tuple[Samples, Sampler] | None = None
        self.seek({"part": 0, "first": 0})

    def step(self, index: int) -> tuple[Samples, list[int]]:
        while self._current is None or index - self._first >= self._current[1].steps_per_epoch:
            if self._current is not None:
                self._first += self._current[1].steps_per_epoch
                self._part += 1
            samples = next(self._parts)
            self._current = samples, _sampler(samples, self._per_step, self._options, self._longest, part=self._part)
        samples, sampler = self._current
        return samples, sampler.step(index - self._first)

    def position(self) -> dict[str, Any]:
        return {"part": self._part, "first": self._first}

    def seek(self, position: Mapping[str, Any]) -> None:
        self._part, self._first = int(position["part"]), int(position["first"])
        self._parts: Iterator[Samples] = self._stream.parts(self._part)
        self._current = None


def _sampler(samples: Samples, per_step: int, options: TrainOptions, longest: int, part: int = 0) -> Sampler:
    packs = best_fit(samples.lengths, longest) if options.packing else None
    units = len(samples) if packs is None else len(packs)
    sizes = samples.lengths if packs is None else np.array([samples.lengths[pack].sum() for pack in packs])
    seed = options.seed + part  # a part's order is its own
    return Sampler(units, per_step, seed=seed, shuffle=options.shuffle, packs=packs, sizes=sizes if options.group_by_length else None)
