"""Choose the rows of each step: from stored samples, ordered by (seed, epoch), or from a stream, part by part.

A step has the same rows for any number of ranks: with equal rows per step (batch_size × accumulation × ranks), one process and four
train on the same data. The order is a function of (seed, epoch), so a resumed run needs only its step number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from swift_train.packing import best_fit
from swift_train.samples import Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swift_train.options import TrainOptions
    from swift_train.strategy import Strategy
    from swift_train.stream import Stream


class StepSampler(Protocol):
    """The rows of each step; steps are requested in ascending order."""

    steps_per_epoch: int | None
    """None if it is not known, as for a stream."""

    def step(self, index: int) -> tuple[Samples, list[int]]:
        """Return the samples that step `index` takes its rows from, and the indices of those rows."""
        ...

    def position(self) -> dict[str, Any]:
        """Return the current position for a checkpoint, as JSON."""
        ...

    def seek(self, position: Mapping[str, Any]) -> None:
        """Move to a position from a checkpoint."""
        ...


@runtime_checkable
class LookaheadSampler(StepSampler, Protocol):
    """A sampler that knows the rows of the next step, so that their media can be decoded ahead."""

    def following(self, index: int) -> tuple[Samples, list[int]] | None:
        """Return what `step` will return for the step after `index`; None if that is not read yet."""
        ...


def rows_per_step(options: TrainOptions, strategy: Strategy) -> int:
    """Return the rows per step over all ranks; with `packing`, packs of rows."""
    return options.batch_size * options.gradient_accumulation_steps * strategy.data_size


def make_sampler(rows: Samples | Stream, per_step: int, options: TrainOptions, max_length: int) -> StepSampler:
    """Build the sampler of a training run.

    Args:
        rows: the training rows.
        per_step: rows per step over all ranks; packs of rows with `packing`.
        options: of the task: `packing`, `shuffle`, `seed`, `group_by_length`.
        max_length: maximum tokens per pack.
    """
    if isinstance(rows, Samples):
        return _StoredSampler(rows, per_step, options, max_length)
    return _StreamSampler(rows, per_step, options, max_length)


class _StoredSampler:
    def __init__(self, samples: Samples, per_step: int, options: TrainOptions, max_length: int) -> None:
        self._samples = samples
        self._sampler = _epoch_sampler(samples, per_step, options, max_length)
        self.steps_per_epoch: int | None = self._sampler.steps_per_epoch

    def step(self, index: int) -> tuple[Samples, list[int]]:
        return self._samples, self._sampler.step(index)

    def following(self, index: int) -> tuple[Samples, list[int]] | None:
        return self.step(index + 1)

    def position(self) -> dict[str, Any]:
        return {}  # the step number is enough

    def seek(self, position: Mapping[str, Any]) -> None:
        pass


class _StreamSampler:
    steps_per_epoch: int | None = None

    def __init__(self, stream: Stream, per_step: int, options: TrainOptions, max_length: int) -> None:
        self._stream, self._per_step, self._options, self._max_length = stream, per_step, options, max_length
        self._current: tuple[Samples, EpochSampler] | None = None
        self.seek({"part": 0, "first": 0})

    def step(self, index: int) -> tuple[Samples, list[int]]:
        while self._current is None or index - self._first >= self._current[1].steps_per_epoch:
            if self._current is not None:
                self._first += self._current[1].steps_per_epoch
                self._part += 1
            samples = next(self._parts)
            self._current = samples, _epoch_sampler(samples, self._per_step, self._options, self._max_length, part=self._part)
        samples, sampler = self._current
        return samples, sampler.step(index - self._first)

    def following(self, index: int) -> tuple[Samples, list[int]] | None:
        if self._current is None or (index := index + 1 - self._first) >= self._current[1].steps_per_epoch:
            return None
        return self._current[0], self._current[1].step(index)

    def position(self) -> dict[str, Any]:
        return {"part": self._part, "first": self._first}

    def seek(self, position: Mapping[str, Any]) -> None:
        self._part, self._first = int(position["part"]), int(position["first"])
        self._parts: Iterator[Samples] = self._stream.buffers(self._part)
        self._current = None


class EpochSampler:
    """The rows of each step, in an order that is drawn anew each epoch. The last step of an epoch may have fewer.

    Args:
        units: number of rows, or of packs of rows.
        per_step: units per step, over all ranks.
        seed, shuffle: of the order.
        packs: the rows of each pack, if rows are packed.
        sizes: tokens of each unit, to group units of similar length; None for no grouping.
    """

    def __init__(
        self, units: int, per_step: int, *, seed: int, shuffle: bool,
        packs: Sequence[NDArray[np.int64]] | None = None, sizes: NDArray[np.int64] | None = None,
    ) -> None:  # fmt: skip
        self.units, self.per_step, self.seed, self.shuffle, self.packs, self.sizes = units, per_step, seed, shuffle, packs, sizes
        self.steps_per_epoch = ceil(units / per_step)
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, np.int64))

    def step(self, index: int) -> list[int]:
        """Return the rows of step `index`, counted from 0 over all epochs."""
        epoch, place = divmod(index, self.steps_per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, self._order_of(epoch))
        chosen = self._order[1][place * self.per_step : (place + 1) * self.per_step]
        rows: list[int] = (np.concatenate([self.packs[unit] for unit in chosen]) if self.packs is not None else chosen).tolist()
        return rows

    def _order_of(self, epoch: int) -> NDArray[np.int64]:
        random = np.random.default_rng((self.seed, epoch))
        order = random.permutation(self.units) if self.shuffle else np.arange(self.units)
        if self.sizes is None:
            return order
        # Sorted by length within blocks of 50 steps, as transformers' LengthGroupedSampler does, then the steps are shuffled again;
        # the largest step comes first, so that running out of memory shows at once.
        block = 50 * self.per_step
        parts = [order[start : start + block] for start in range(0, self.units, block)]
        order = np.concatenate([part[np.argsort(-self.sizes[part], kind="stable")] for part in parts])
        whole = self.units // self.per_step * self.per_step
        steps = order[:whole].reshape(-1, self.per_step)
        if self.shuffle and len(steps):
            first = int(np.argmax(self.sizes[steps].sum(1)))
            shuffled = random.permutation(len(steps))
            shuffled = np.concatenate([[first], shuffled[shuffled != first]])
            order = np.concatenate([steps[shuffled].reshape(-1), order[whole:]])
        return order


def _epoch_sampler(samples: Samples, per_step: int, options: TrainOptions, max_length: int, part: int = 0) -> EpochSampler:
    packs = best_fit(samples.lengths, max_length) if options.packing else None
    units = len(samples) if packs is None else len(packs)
    sizes = samples.lengths if packs is None else np.array([samples.lengths[pack].sum() for pack in packs])
    seed = options.seed + part  # each part of a stream has its own order
    return EpochSampler(units, per_step, seed=seed, shuffle=options.shuffle, packs=packs, sizes=sizes if options.group_by_length else None)
