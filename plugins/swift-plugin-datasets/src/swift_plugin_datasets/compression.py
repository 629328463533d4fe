"""Open compressed files as byte streams: gzip, bzip2, xz and zstd, detected by their magic bytes and not by the file name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from swift_core.contract import UsageError

_BUFFER = 1 << 16
# Bytes of compressed input per step: small, because a kilobyte of zstd may decompress to megabytes.
_BLOCK = 1 << 12


def is_compressed(path: Path) -> bool:
    """Return True if a file is compressed, or an archive."""
    with path.open("rb") as file:
        start = file.read(8)
    return any(start.startswith(magic) for magic in (*_MAGIC, *_UNSUPPORTED))


def open_file(path: Path) -> io.BufferedReader:
    """Open a file for reading bytes, decompressing it if it is compressed.

    Raises:
        UsageError: the file is an archive, or its compression is not supported.
    """
    with path.open("rb") as file:
        start = file.read(8)
    if other := next((name for magic, name in _UNSUPPORTED.items() if start.startswith(magic)), ""):
        raise UsageError(
            f"this is {other}", code="DATA-117", where=str(path), hint="Unpack it and name the data file, or the folder of data files."
        )
    unpack = next((unpack for magic, unpack in _MAGIC.items() if start.startswith(magic)), None)
    stream: Any = unpack(path) if unpack else path.open("rb", buffering=0)
    return io.BufferedReader(stream, _BUFFER)


class _Zstandard(io.RawIOBase):
    """A zstd file of one or more frames. Unlike the library's stream reader, it raises EOFError for a truncated file."""

    def __init__(self, path: Path, library: Any) -> None:
        self._file: BinaryIO = path.open("rb")
        self._library = library
        self._frame = self._new_frame()
        self._in_frame = False  # a frame has started and not ended
        self._compressed, self._decompressed = b"", memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, or part of it, and return the number of bytes; 0 at the end of the file."""
        while not self._decompressed:
            block = self._compressed or self._file.read(_BLOCK)
            if not block and self._in_frame:
                raise EOFError("the file ends inside a zstd frame")
            if not block:
                return 0
            self._decompress(block)
        count = min(len(buffer), len(self._decompressed))
        buffer[:count] = self._decompressed[:count]
        self._decompressed = self._decompressed[count:]
        return count

    def close(self) -> None:
        """Close the stream and the underlying file."""
        self._file.close()
        super().close()

    def _decompress(self, block: bytes) -> None:
        try:
            self._decompressed = memoryview(self._frame.decompress(block))
        except self._library.ZstdError as error:
            raise EOFError(str(error)) from None
        self._in_frame, self._compressed = not self._frame.eof, b""
        if self._frame.eof:
            self._compressed = self._frame.unused_data
            self._frame = self._new_frame()

    def _new_frame(self) -> Any:
        return self._library.ZstdDecompressor(max_window_size=1 << 31).decompressobj()


def _zstandard(path: Path) -> io.RawIOBase:
    try:
        import zstandard
    except ImportError as error:
        raise UsageError(
            "zstd files need zstandard", code="DATA-118", where=str(path), hint="pip install 'swift-plugin-datasets[zst]'"
        ) from error
    return _Zstandard(path, zstandard)


SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zstd")
_MAGIC: Mapping[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
    b"\x28\xb5\x2f\xfd": _zstandard,
}
_UNSUPPORTED: Mapping[bytes, str] = {
    b"PK\x03\x04": "a zip archive (or a spreadsheet)",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a rar archive",
    b"\x04\x22\x4d\x18": "a file compressed with lz4",
    b"\x1f\x9d": "a file compressed with compress",
}
