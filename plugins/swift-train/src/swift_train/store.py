"""Tokenised samples on disk: a folder of flat arrays, written once and then mapped into memory, so that a set may be larger than it.

ids         int32 a token      codes     uint8 a token: its weight in the loss, by the table in meta.json (0: not supervised)
ends        int64 a sample     rows, files, supervised: of each sample its row, its file by the list in meta.json, its learned tokens
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from swift_core.contract.errors import UsageError
from swift_core.system.paths import write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swift_train.tokenise import Encoded

META = "meta.json"
_TYPES: Mapping[str, Any] = {
    "ids": np.int32, "codes": np.uint8, "ends": np.int64, "rows": np.int64, "files": np.int32, "supervised": np.int32,
}  # fmt: skip
_HASHED = ("ids", "codes", "ends")
_MOST_WEIGHTS = 256
_BUFFERED = 1 << 16  # tokens that wait to be written


class StoreWriter:
    """Writes a store into an empty folder; `finish` makes it whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.samples = self.tokens = 0
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
        """Append a sample that came from a row of a file. Its first token is never supervised, since nothing comes before it."""
        codes = np.zeros(len(encoded.ids), np.uint8)
        for start, stop, weight in encoded.spans:
            codes[start:stop] = self._code(weight)
        codes[:1] = 0
        self.samples += 1
        self.tokens += len(encoded.ids)
        own = encoded.ids, codes, self.tokens, row, self._files.setdefault(file, len(self._files)), np.count_nonzero(codes)
        for waiting, value in zip(self._waiting.values(), own, strict=True):
            waiting.append(value)
        if self.tokens - self._written >= _BUFFERED:
            self._flush()

    def finish(self, **facts: Any) -> None:
        """Write `meta.json`, with other facts to be kept."""
        self._flush()
        for out in self._out.values():
            out.flush()
        digest = hashlib.sha256("".join(made.hexdigest() for made in self._hashes.values()).encode()).hexdigest()
        write_json(self.folder / META, {"files": list(self._files), "weights": list(self._codes), "digest": digest, **facts})

    def _code(self, weight: float) -> int:
        code = self._codes.setdefault(weight, len(self._codes))
        if code == _MOST_WEIGHTS:
            raise UsageError(f"more than {_MOST_WEIGHTS} different loss scales in one data set", hint="Round them, to two places, say.")
        return code

    def _flush(self) -> None:
        for name, waiting in self._waiting.items():
            join = np.concatenate if name in ("ids", "codes") else np.array
            data = join(waiting, dtype=_TYPES[name]).tobytes() if waiting else b""
            self._out[name].write(data)
            if name in self._hashes:
                self._hashes[name].update(data)
            waiting.clear()
        self._written = self.tokens


class Store:
    """A whole store. All is mapped when it is made: the folder may go away afterwards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.meta: dict[str, Any] = json.loads((folder / META).read_text(encoding="utf-8"))
        arrays: dict[str, NDArray[Any]] = {name: _mapped(folder / f"{name}.bin", kind) for name, kind in _TYPES.items()}
        self.ids, self.codes, self.ends = arrays["ids"], arrays["codes"], arrays["ends"]
        self.rows, self.files, self.supervised = arrays["rows"], arrays["files"], arrays["supervised"]
        self.weights = np.array(self.meta["weights"], np.float32)

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sample."""
        return np.diff(self.ends, prepend=0)

    def part(self, index: int) -> slice:
        """Where a sample's tokens are."""
        return slice(int(self.ends[index - 1]) if index else 0, int(self.ends[index]))

    def origin(self, index: int) -> str:
        """The sample's file and row, for people."""
        return f"{self.meta['files'][self.files[index]]}, row {self.rows[index]}"


def _mapped(path: Path, kind: Any) -> NDArray[Any]:
    mapped = np.memmap(path, kind, "r") if path.stat().st_size else np.zeros(0, kind)
    return np.asarray(mapped)  # a plain view of it: slices of a memmap cost several times as much
