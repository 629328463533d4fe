"""Tokenised samples by index: a view of one or more stores that can omit or repeat samples."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from swift_core.contract import UsageError
from swift_train.shared_prefixes import shared_tokens
from swift_train.tokenise import TARGET

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swift_train.media.files import MediaFile
    from swift_train.store import Store


class Sample(NamedTuple):
    """A sequence: token ids (tokens,) int32, loss weight of each token (tokens,) float32, source file and row as text, columns, and media.

    A column is a number beside the tokens (a label), or a number per supervised token (log-probabilities of an earlier policy).
    """

    ids: NDArray[np.int32]
    weights: NDArray[np.float32]
    origin: str
    columns: Mapping[str, float | NDArray[np.float32]] = {}
    media: tuple[MediaFile, ...] = ()

    @property
    def supervised(self) -> NDArray[np.bool_]:
        """True if each token is supervised, (tokens,)."""
        return self.weights > 0


class Samples:
    """Samples of several stores, concatenated. A sample is a sequence, or several that are never separated (a pair of answers).

    Args:
        stores: hold the tokens.
        which, index: store number of each sample, and its index in that store; by default all samples in order.
        sets: number of the data set of each store, ascending; by default each store is one.

    Attributes:
        lengths: tokens of each sample, (samples,).
        supervised: supervised tokens of each sample, (samples,).
        counts: sequences of each sample, (samples,).
        media_counts: media files of each sample, (samples,).
        columns: columns that were computed, by name: for each sample an array of a number per sequence.
    """

    def __init__(
        self, stores: Sequence[Store], which: NDArray[np.int32] | None = None, index: NDArray[np.int64] | None = None,
        sets: Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        self.stores = list(stores)
        self._sets = np.arange(len(stores)) if sets is None else np.array(sets)
        counts = [len(store) for store in stores]
        self._which = np.repeat(np.arange(len(counts), dtype=np.int32), counts) if which is None else which
        self._index = np.concatenate([np.arange(count, dtype=np.int64) for count in counts]) if index is None else index
        self.lengths: NDArray[np.int64] = self._gather("lengths")
        self.supervised: NDArray[np.int64] = self._gather("supervised")
        self.counts: NDArray[np.int64] = self._gather("counts")
        self.media_counts: NDArray[np.int64] = self._gather("media_counts")
        self.columns: dict[str, Sequence[NDArray[np.float32]]] = {}

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: int) -> Sample:
        """Return a sample's first sequence."""
        return self.sequences(index)[0]

    def sequences(self, index: int) -> list[Sample]:
        """Return the sequences of a sample."""
        store, place = self.stores[self._which[index]], int(self._index[index])
        first, names, found = int(store.first[place]), store.meta["columns"], []
        for number in range(int(store.counts[place])):
            tokens = store.token_slice(first + number)
            columns: dict[str, Any] = dict(zip(names, store.columns[first + number].tolist(), strict=True))
            columns |= {name: float(values[index][number]) for name, values in self.columns.items()}
            media = store.media(first + number) if self.media_counts[index] else ()
            weights = store.weights[store.codes[tokens]]
            if len(store.targets):
                columns[TARGET] = store.targets[tokens][weights > 0].astype(np.float32)
            found.append(Sample(np.asarray(store.ids[tokens]), weights, store.origin(place), columns, media))
        return found

    def shared_tokens(self, one: int, other: int) -> int:
        """Return how many tokens need not be computed again for the second of two samples (`swift_train.shared_prefixes`)."""
        return shared_tokens(self.sequences(one)[-1], self.sequences(other)[0])

    def same_prompt(self, one: int, other: int) -> bool:
        """Return whether two samples are answers to one prompt, which are kept in one pass."""
        return False

    def origin(self, index: int) -> str:
        """Return a sample's source file and row number as text."""
        store: Store = self.stores[self._which[index]]
        return store.origin(int(self._index[index]))

    @property
    def selection(self) -> tuple[Sequence[Store], NDArray[np.int32], NDArray[np.int64]]:
        """The stores, and for each sample its store and its index there: the arguments that make these samples."""
        return self.stores, self._which, self._index

    def column(self, name: str) -> NDArray[np.float32]:
        """Return a column of the rows, a label for example: of the first sequence of each sample, (samples,)."""
        every = [store.columns[store.first, store.meta["columns"].index(name)] for store in self.stores]
        base = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(store) for store in self.stores])])
        taken: NDArray[np.float32] = np.concatenate(every)[base[self._which] + self._index]
        return taken

    def digest(self) -> str:
        """Return a SHA-256 over all tokens, weights and sample boundaries, and the selection."""
        made = hashlib.sha256("".join(store.meta["digest"] for store in self.stores).encode())
        made.update(self._which.tobytes())
        made.update(self._index.tobytes())
        return made.hexdigest()

    def select(self, indices: NDArray[np.int64]) -> Samples:
        """Return the samples with the given indices, in the given order."""
        return Samples(self.stores, self._which[indices], self._index[indices], self._sets.tolist())

    def repeat(self, weights: Sequence[float], seed: int) -> Samples:
        """Repeat each data set's samples by its weight: 2.5 means all of them twice, and a random half (fixed by `seed`) a third time."""
        if all(weight == 1 for weight in weights):
            return self
        indices: list[NDArray[np.int64]] = []
        for number, weight in enumerate(weights):
            own = np.flatnonzero(self._sets[self._which] == number)
            whole = int(weight)
            rest = np.random.default_rng((seed, number)).permutation(len(own))[: round((weight - whole) * len(own))]
            indices += [own] * whole + [own[np.sort(rest)]]
        return self.select(np.concatenate(indices))

    def mix(self, probabilities: Sequence[float], stopping: str, seed: int) -> Samples:
        """Draw the data set of each sample by its probability, and take its samples in order, as `datasets.interleave_datasets` does.

        Args:
            probabilities: of the data sets.
            stopping: `first_exhausted` ends with the first data set that is used up, `all_exhausted` with the last; the others begin again.
            seed: of the drawing.
        """
        own = [np.flatnonzero(self._sets[self._which] == number) for number in range(len(probabilities))]
        ended, ends, taken = np.zeros(len(own), np.bool_), np.any if stopping == "first_exhausted" else np.all, [0] * len(own)
        generator, indices = np.random.default_rng(seed), list[int]()
        while True:
            for number in generator.choice(len(own), size=1000, p=list(probabilities)):
                if ends(ended):
                    return self.select(np.array(indices, np.int64))
                indices.append(int(own[number][taken[number]]))
                taken[number] += 1
                if taken[number] == len(own[number]):
                    ended[number], taken[number] = True, 0

    def split(self, ratio: float, seed: int) -> tuple[Samples, Samples]:
        """Split by rows, at random by `seed`.

        Returns:
            The training samples, and the samples of about `ratio` of the rows (at least one), or of `ratio` rows from 1 on, to hold out.

        Raises:
            UsageError: there are fewer than two rows, or no more than are to be held out.
        """
        files = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(store.meta["files"]) for store in self.stores])])
        file = np.concatenate([store.files + files[number] for number, store in enumerate(self.stores)])
        row = np.concatenate([store.rows for store in self.stores])
        base = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(store) for store in self.stores])])
        own = base[self._which] + self._index
        pairs, number_of = np.unique(np.stack([file[own], row[own]]), axis=1, return_inverse=True)
        rows = pairs.shape[1]
        if rows < 2:
            raise UsageError(
                "one row can't be split into training and validation rows",
                code="TRAIN-063",
                where="validation_ratio",
                hint="Provide more rows, or set it to 0.",
            )
        if ratio >= rows:
            message = f"{ratio:.0f} of {rows} rows can't be held out"
            raise UsageError(message, code="TRAIN-160", where="validation_ratio", hint=f"Use at most {rows - 1}, or a fraction below 1.")
        count = int(ratio) if ratio >= 1 else min(max(1, round(rows * ratio)), rows - 1)
        held = np.zeros(rows, np.bool_)
        held[np.random.default_rng(seed).permutation(rows)[:count]] = True
        held_out = held[number_of.reshape(-1)]
        return self.select(np.flatnonzero(~held_out)), self.select(np.flatnonzero(held_out))

    def _gather(self, name: str) -> NDArray[np.int64]:
        every = [np.asarray(getattr(store, name), np.int64) for store in self.stores]
        base = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(store) for store in self.stores])])
        taken: NDArray[np.int64] = np.concatenate(every)[base[self._which] + self._index]
        return taken
