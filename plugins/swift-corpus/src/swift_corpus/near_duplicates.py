"""Rows that resemble an earlier one, by MinHash: A. Broder (1997); bands as in J. Leskovec et al., Mining of Massive Datasets, ch. 3.

Each row has a signature of the sequences of five words in its texts (of five characters in Chinese, Japanese and Korean). Signatures are
cut into bands; a row that has a band in common with an earlier row is left out. The parts of a corpus are signed by an executor; the bands
are compared one at a time, in about 20 bytes of memory for each row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from swift_data.overlap import words
from swift_data.parts import rows_of_part
from swift_data.personal_data import texts

from swift_core.contract import Run, UsageError
from swift_core.plugins import local
from swift_corpus.storage import Storage

if TYPE_CHECKING:
    from numpy.typing import NDArray

Json = Mapping[str, Any]
WORK = ".near-duplicates"  # folder of what is only needed until the shards are written
PERMUTATIONS = 128
WORDS = 5  # length of the word sequences
_SEED = 1
_BATCH = 1000  # rows


class SignPart:
    """Writes the bands of the rows of a part. `setup` is {run, output}, an item {number, dataset, place}, a result {number, rows}."""

    def __init__(self, setup: Json) -> None:
        self._run, self._storage = Run.from_json(setup["run"]), Storage(setup["output"])
        local.use_local_plugins(self._run.plugins, where="plugins")
        self._bands = Bands(self._run.options["near_duplicates"])

    def __call__(self, item: Json) -> Json:
        """Write the bands, (bands, rows) uint64."""
        rows = rows_of_part(self._run.datasets[item["dataset"]], item["place"], self._run.options["data"])
        found = self._bands.of("\n".join(text for _, text in texts(raw.data)) for raw in rows)
        self._storage.write(f"{WORK}/{item['number']:06}.bands", found.tobytes())
        return {"number": item["number"], "rows": found.shape[1]}


class Bands:
    """Bands of MinHash signatures for a similarity, as many as find rows of that similarity with the fewest errors.

    Raises:
        UsageError: datasketch is not installed.
    """

    def __init__(self, similarity: float) -> None:
        try:
            from datasketch import MinHash, MinHashLSH
        except ImportError as error:
            hint = "pip install 'swift-corpus[minhash]'"
            raise UsageError("near_duplicates needs datasketch", code="DATA-188", where="near_duplicates", hint=hint) from error
        self._minhash = MinHash
        chosen = MinHashLSH(threshold=similarity, num_perm=PERMUTATIONS)
        self.count, self._length = int(chosen.b), int(chosen.r)

    def of(self, rows: Iterator[str]) -> NDArray[np.uint64]:
        """Return the bands of texts, (bands, texts): equal numbers stand for equal parts of signatures."""
        found: list[NDArray[np.uint64]] = []
        batch: list[list[bytes]] = []
        for text in rows:
            batch.append(sequences(text))
            if len(batch) == _BATCH:
                found.append(self._signed(batch))
                batch = []
        found.append(self._signed(batch))
        return np.concatenate(found, axis=1)

    def _signed(self, batch: Sequence[Sequence[bytes]]) -> NDArray[np.uint64]:
        if not batch:
            return np.zeros((self.count, 0), np.uint64)
        made = self._minhash.bulk(batch, num_perm=PERMUTATIONS, seed=_SEED)
        signatures = np.stack([each.hashvalues for each in made]).astype(np.uint64)[:, : self.count * self._length]
        return np.ascontiguousarray(_mixed(signatures.reshape(len(batch), self.count, self._length)).T)


def _mixed(bands: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a number of 64 bits for each band of hash values, (rows, bands, length) -> (rows, bands)."""
    mixed = np.full(bands.shape[:2], 0x9E3779B97F4A7C15, np.uint64)
    for place in range(bands.shape[2]):
        mixed = (mixed ^ bands[:, :, place]) * np.uint64(0xFF51AFD7ED558CCD)
        mixed ^= mixed >> np.uint64(33)
    return mixed


def sequences(text: str) -> list[bytes]:
    """Return the word sequences of a text; one of fewer words is a sequence of its own."""
    found = words(text)
    return [" ".join(found[start : start + WORDS]).encode() for start in range(max(1, len(found) - WORDS + 1))]


def mark(storage: Storage, counts: Sequence[int], bands: int) -> int:
    """Write which rows of each part are left out, and return their number.

    Args:
        storage: has the bands of every part.
        counts: rows of each part.
        bands: number of bands.
    """
    ends = np.cumsum([0, *counts])
    near = np.zeros(int(ends[-1]), np.bool_)
    for band in range(bands):
        column = np.concatenate(
            [
                np.frombuffer(storage.read(f"{WORK}/{number:06}.bands", band * rows * 8, (band + 1) * rows * 8), np.uint64)
                for number, rows in enumerate(counts)
            ]
        )
        order = np.argsort(column, kind="stable")
        same = np.zeros(len(order), np.bool_)
        same[1:] = column[order][1:] == column[order][:-1]
        near[order[same]] = True
    for number, rows in enumerate(counts):
        storage.write(f"{WORK}/{number:06}.near", np.packbits(near[ends[number] : ends[number] + rows]).tobytes())
    return int(near.sum())


def duplicates_of(storage: Storage, number: int) -> NDArray[np.bool_]:
    """Return which rows of a part are left out; the array may be longer than the part."""
    return np.unpackbits(np.frombuffer(storage.read(f"{WORK}/{number:06}.near"), np.uint8)).astype(np.bool_)
