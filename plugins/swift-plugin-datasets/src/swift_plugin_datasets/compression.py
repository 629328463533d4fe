"""Compressed files as streams of bytes: gzip, bzip2, xz and zstd, told by their first bytes, whatever they are called."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from swift_core.contract.errors import UsageError

_BUFFER = 1 << 16
# Little at a time: a kilobyte of zstd may hold megabytes.
_BLOCK = 1 << 12


def open_file(path: Path) -> io.BufferedReader:
    """A file's bytes, unpacked if they are compressed.

    Raises:
        UsageError: an archive of several files, or compressed in another way.
    """
    with path.open("rb") as file:
        start = file.read(8)
    if other := next((name for magic, name in _OTHERS.items() if start.startswith(magic)), ""):
        raise UsageError(f"this is {other}", where=str(path), hint="Unpack it, and name the file or the folder of files.")
    unpack = next((unpack for magic, unpack in _MAGIC.items() if start.startswith(magic)), None)
    stream: Any = unpack(path) if unpack else path.open("rb", buffering=0)
    return io.BufferedReader(stream, _BUFFER)


class _Zstandard(io.RawIOBase):
    """A zstd file, of one frame or several. The library's own stream ends quietly where a file was cut off; this one does not."""

    def __init__(self, path: Path, library: Any) -> None:
        self._file: BinaryIO = path.open("rb")
        self._library = library
        self._frame = self._new_frame()
        self._inside = False  # a frame has begun and not ended
        self._packed, self._unpacked = b"", memoryview(b"")

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, or part of it; 0 at the end."""
        while not self._unpacked:
            block = self._packed or self._file.read(_BLOCK)
            if not block and self._inside:
                raise EOFError("the file ends inside a zstd frame")
            if not block:
                return 0
            self._unpack(block)
        count = min(len(buffer), len(self._unpacked))
        buffer[:count] = self._unpacked[:count]
        self._unpacked = self._unpacked[count:]
        return count

    def close(self) -> None:
        """Close the file below too."""
        self._file.close()
        super().close()

    def _unpack(self, block: bytes) -> None:
        try:
            self._unpacked = memoryview(self._frame.decompress(block))
        except self._library.ZstdError as error:
            raise EOFError(str(error)) from None
        self._inside, self._packed = not self._frame.eof, b""
        if self._frame.eof:
            self._packed = self._frame.unused_data
            self._frame = self._new_frame()

    def _new_frame(self) -> Any:
        return self._library.ZstdDecompressor(max_window_size=1 << 31).decompressobj()


def _zstandard(path: Path) -> io.RawIOBase:
    try:
        import zstandard
    except ImportError as error:
        raise UsageError("zstd files need zstandard", where=str(path), hint="pip install 'swift-plugin-datasets[zst]'") from error
    return _Zstandard(path, zstandard)


SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zstd")
_MAGIC: Mapping[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
    b"\x28\xb5\x2f\xfd": _zstandard,
}
_OTHERS: Mapping[bytes, str] = {
    b"PK\x03\x04": "a zip archive (or a spreadsheet)",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a rar archive",
    b"\x04\x22\x4d\x18": "a file compressed with lz4",
    b"\x1f\x9d": "a file compressed with compress",
}
