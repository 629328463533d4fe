"""Tokenised samples on disk: a folder of flat arrays, written once and memory-mapped, so that a data set may exceed main memory.

ids         int32 per token      codes     uint8 per token: index of its loss weight in the table in meta.json (0: not supervised)
ends        int64 per sequence   rows, files, supervised: per sequence its row number, index of its file in meta.json, supervised tokens
columns     float32 per sequence and column: numbers beside the tokens, such as a label
targets     int32 per token: its class, in tasks that classify tokens; empty in others
media       uint8: the media files of the sequences as lines of JSON, whose place and number per sequence are in media_ends and media_counts

A sample is one sequence, or in a grouped store all sequences of a row (a chosen and a rejected answer), which are never separated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from swift_core.contract import UsageError
from swift_core.system import sha256, write_json
from swift_train.media.files import MediaFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swift_train.tokenise import Encoded

META = "meta.json"
_TYPES: Mapping[str, Any] = {
    "ids": np.int32, "codes": np.uint8, "ends": np.int64, "rows": np.int64, "files": np.int32, "supervised": np.int32,
    "columns": np.float32, "targets": np.int32, "media": np.uint8, "media_ends": np.int64, "media_counts": np.int32,
}  # fmt: skip
_HASHED = ("ids", "codes", "ends", "columns", "targets", "media")
_JOINED = ("ids", "codes", "columns", "targets", "media")  # arrays of which a sequence has a part of any length
_MAX_WEIGHTS = 256
_NONE = np.zeros(0, np.int32)
_BUFFERED = 1 << 16  # tokens kept in memory before they are written


class StoreWriter:
    """Write a store into an empty folder; `finish` completes it.

    Args:
        folder: an empty folder.
        grouped: the sequences of a row are one sample.
        columns: names of the numbers that each sequence has beside its tokens.
        next_token: the token after an output is supervised, so that a sequence's first token can't be; else the output's own token.
    """

    def __init__(self, folder: Path, *, grouped: bool = False, columns: Sequence[str] = (), next_token: bool = True) -> None:
        self.folder, self._form = folder, {"grouped": grouped, "columns": list(columns)}
        self._next_token = next_token
        self.samples = self.tokens = self._media_bytes = 0
        self._out: dict[str, IO[bytes]] = {name: (folder / f"{name}.bin").open("wb") for name in _TYPES}
        self._hashes = {name: hashlib.sha256() for name in _HASHED}
        self._waiting: dict[str, list[Any]] = {name: [] for name in _TYPES}
        self._written = 0
        self._files: dict[str, int] = {}
        self._codes = {0.0: 0, 1.0: 1}

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for out in self._out.values():
            out.close()

    def add(self, encoded: Encoded, file: str, row: int) -> None:
        """Append a sequence of a row of a file.

        Raises:
            UsageError: the data set has more than 256 different loss weights.
        """
        codes = np.zeros(len(encoded.ids), np.uint8)
        for start, stop, weight in (*encoded.spans, *encoded.weighted):
            codes[start:stop] = self._code(weight)
        if self._next_token:
            codes[:1] = 0  # no output precedes the first token
        self.samples += 1
        self.tokens += len(encoded.ids)
        number = self._files.setdefault(file, len(self._files))
        media = "".join(json.dumps(place.file) + "\n" for place in encoded.media).encode()
        self._media_bytes += len(media)
        own = (
            encoded.ids, codes, self.tokens, row, number, np.count_nonzero(codes), encoded.columns,
            _NONE if encoded.targets is None else encoded.targets, np.frombuffer(media, np.uint8), self._media_bytes, len(encoded.media),
        )  # fmt: skip
        for waiting, value in zip(self._waiting.values(), own, strict=True):
            waiting.append(value)
        if self.tokens - self._written >= _BUFFERED:
            self._flush()

    def finish(self, **facts: Any) -> None:
        """Write `meta.json`, with `facts` added to it."""
        self._flush()
        for out in self._out.values():
            out.flush()
        digest = _digest([made.hexdigest() for made in self._hashes.values()])
        write_json(self.folder / META, {"files": list(self._files), "weights": list(self._codes), "digest": digest, **self._form, **facts})

    def _code(self, weight: float) -> int:
        code = self._codes.setdefault(weight, len(self._codes))
        if code == _MAX_WEIGHTS:
            raise UsageError(
                f"more than {_MAX_WEIGHTS} different loss_scale values in one data set",
                code="TRAIN-070",
                hint="Round them to two decimals.",
            )
        return code

    def _flush(self) -> None:
        for name, waiting in self._waiting.items():
            join = np.concatenate if name in _JOINED else np.array
            data = join(waiting, dtype=_TYPES[name]).tobytes() if waiting else b""
            self._out[name].write(data)
            if name in self._hashes:
                self._hashes[name].update(data)
            waiting.clear()
        self._written = self.tokens


class Store:
    """Read a complete store. The files are mapped on construction, so the folder may be removed afterwards.

    Attributes:
        ids, codes: per token: id, and index into `weights`.
        ends: per sequence: index after its last token.
        rows, files: per sample: row number, index into `meta["files"]`.
        lengths, supervised: per sample: number of tokens, and of supervised tokens.
        first, counts: per sample: index of its first sequence, number of its sequences.
        columns: (sequences, columns) float32, named by `meta["columns"]`.
        targets: per token: its class; empty if the task does not classify tokens.
        media_counts: per sample: number of media files.
        weights: the different loss weights, float32.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.meta: dict[str, Any] = json.loads((folder / META).read_text(encoding="utf-8"))
        arrays: dict[str, NDArray[Any]] = {name: _mapped(folder / f"{name}.bin", kind) for name, kind in _TYPES.items()}
        self.ids, self.codes, self.ends = arrays["ids"], arrays["codes"], arrays["ends"]
        self.targets: NDArray[np.int32] = arrays["targets"]
        self.columns: NDArray[np.float32] = arrays["columns"].reshape(len(self.ends), len(self.meta["columns"]))
        rows, files = arrays["rows"], arrays["files"]
        starts = np.ones(len(rows), np.bool_)
        if self.meta["grouped"]:
            starts[1:] = (rows[1:] != rows[:-1]) | (files[1:] != files[:-1])
        self.first: NDArray[np.int64] = np.flatnonzero(starts)
        self.counts: NDArray[np.int64] = np.diff(self.first, append=len(rows))
        self.rows, self.files = rows[self.first], files[self.first]
        self.lengths: NDArray[np.int64] = self._sums(np.diff(self.ends, prepend=0))
        self.supervised: NDArray[np.int64] = self._sums(arrays["supervised"])
        self.media_counts: NDArray[np.int64] = self._sums(arrays["media_counts"])
        self._media, self._media_ends = arrays["media"], arrays["media_ends"]
        self.weights = np.array(self.meta["weights"], np.float32)

    def __len__(self) -> int:
        return len(self.first)

    def token_slice(self, sequence: int) -> slice:
        """Return the slice of `ids` and `codes` that holds a sequence's tokens."""
        return slice(int(self.ends[sequence - 1]) if sequence else 0, int(self.ends[sequence]))

    def media(self, sequence: int) -> tuple[MediaFile, ...]:
        """Return the media files of a sequence, in order."""
        start = int(self._media_ends[sequence - 1]) if sequence else 0
        lines = self._media[start : int(self._media_ends[sequence])].tobytes().splitlines()
        return tuple(MediaFile(kind, path, count, modified, tuple(size)) for kind, path, count, modified, size in map(json.loads, lines))

    def origin(self, index: int) -> str:
        """Return a sample's source file and row number as text."""
        return f"{self.meta['files'][self.files[index]]}, row {self.rows[index]}"

    def _sums(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Sum a number per sequence over the sequences of each sample."""
        total = np.concatenate([np.zeros(1, np.int64), np.cumsum(values, dtype=np.int64)])
        return np.asarray(total[self.first + self.counts] - total[self.first], np.int64)


def digest_of(folder: Path) -> str:
    """Return the digest of a store as its files are, which `meta.json` states."""
    return _digest([sha256(folder / f"{name}.bin") for name in _HASHED])


def _digest(hashes: Sequence[str]) -> str:
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _mapped(path: Path, kind: Any) -> NDArray[Any]:
    mapped = np.memmap(path, kind, "r") if path.stat().st_size else np.zeros(0, kind)
    return np.asarray(mapped)  # a plain view: slicing a memmap costs several times as much
