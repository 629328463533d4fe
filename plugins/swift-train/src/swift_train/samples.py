"""Tokenised samples by index: a view of stores, in which rows may be left out or seen several times."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from swift_core.contract.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swift_train.store import Store


class Sample(NamedTuple):
    """Token ids (tokens,) int32, what each weighs in the loss (tokens,) float32, and the row it came from, for people."""

    ids: NDArray[np.int32]
    weights: NDArray[np.float32]
    origin: str

    @property
    def supervised(self) -> NDArray[np.bool_]:
        """Whether each token is learned, (tokens,)."""
        return self.weights > 0


class Samples:
    """Samples of several stores, one after the other.

    Args:
        stores: where they lie.
        which, index: of each sample its store and its place in it; by default all of them in order.
    """

    def __init__(self, stores: Sequence[Store], which: NDArray[np.int32] | None = None, index: NDArray[np.int64] | None = None) -> None:
        self.stores = list(stores)
        counts = [len(store) for store in stores]
        self._which = np.repeat(np.arange(len(counts), dtype=np.int32), counts) if which is None else which
        self._index = np.concatenate([np.arange(count, dtype=np.int64) for count in counts]) if index is None else index
        self.lengths: NDArray[np.int64] = self._of("lengths")  # tokens of each sample
        self.supervised: NDArray[np.int64] = self._of("supervised")  # learned tokens of each sample

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: int) -> Sample:
        store, place = self.stores[self._which[index]], int(self._index[index])
        part = store.part(place)
        return Sample(np.asarray(store.ids[part]), store.weights[store.codes[part]], store.origin(place))

    def origin(self, index: int) -> str:
        """The sample's file and row, for people."""
        store: Store = self.stores[self._which[index]]
        return store.origin(int(self._index[index]))

    def digest(self) -> str:
        """One hash over all tokens, weights and borders, and which of them are taken."""
        made = hashlib.sha256("".join(store.meta["digest"] for store in self.stores).encode())
        made.update(self._which.tobytes())
        made.update(self._index.tobytes())
        return made.hexdigest()

    def select(self, places: NDArray[np.int64]) -> Samples:
        """The samples at these places, in their order."""
        return Samples(self.stores, self._which[places], self._index[places])

    def repeat(self, weights: Sequence[float], seed: int) -> Samples:
        """Each store's samples so many times: 2.5 is twice all of them, and half of them once more, at random but always the same."""
        if all(weight == 1 for weight in weights):
            return self
        places: list[NDArray[np.int64]] = []
        for number, weight in enumerate(weights):
            own = np.flatnonzero(self._which == number)
            whole = int(weight)
            rest = np.random.default_rng((seed, number)).permutation(len(own))[: round((weight - whole) * len(own))]
            places += [own] * whole + [own[np.sort(rest)]]
        return self.select(np.concatenate(places))

    def part(self, ratio: float, seed: int) -> tuple[Samples, Samples]:
        """Split by rows, at random but always the same: (the rest, about `ratio` of the rows and at least one)."""
        files = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(store.meta["files"]) for store in self.stores])])
        file = np.concatenate([store.files + files[number] for number, store in enumerate(self.stores)])
        row = np.concatenate([store.rows for store in self.stores])
        base = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(store) for store in self.stores])])
        own = base[self._which] + self._index
        pairs, number_of = np.unique(np.stack([file[own], row[own]]), axis=1, return_inverse=True)
        rows = pairs.shape[1]
        if rows < 2:
            raise UsageError(
                "one row can't be split into a part to learn and one to hold out", where="validation_ratio", hint="Give more rows, or 0."
            )
        count = min(max(1, round(rows * ratio)), rows - 1)
        held = np.zeros(rows, np.bool_)
        held[np.random.default_rng(seed).permutation(rows)[:count]] = True
        apart = held[number_of.reshape(-1)]
        return self.select(np.flatnonzero(~apart)), self.select(np.flatnonzero(apart))

    def _of(self, name: str) -> NDArray[np.int64]:
        every = [np.asarray(getattr(store, name), np.int64) for store in self.stores]
        base = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(store) for store in self.stores])])
        taken: NDArray[np.int64] = np.concatenate(every)[base[self._which] + self._index]
        return taken
