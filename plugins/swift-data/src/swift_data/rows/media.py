"""Image, video and audio files of rows: check that they exist, lie in their folder, and have the expected format.

Only a file's first bytes are read, to detect its format; damage further on shows when it is decoded. A source is a path, a `file://`,
`http(s)://` or `data:` URL, or bytes. Since datasets often come from third parties, a row may only name files in its own folder: a
path that leads out of it (`..`, a symbolic link, an absolute path) is refused.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from swift_core.system import network
from swift_data.rows.values import Wrong, kind_of

KINDS = ("image", "video", "audio")
_FORMATS = {"image": "png, jpeg, gif, webp, bmp, tiff", "video": "mp4, mov, webm, mkv, avi, gif", "audio": "wav, mp3, flac, ogg, m4a"}
_ARTICLES = {"image": "an image", "video": "a video", "audio": "an audio file"}
_STARTS: Mapping[bytes, tuple[str, ...]] = {
    b"\x89PNG\r\n\x1a\n": ("image",),
    b"\xff\xd8\xff": ("image",),
    b"GIF8": ("image", "video"),
    b"BM": ("image",),
    b"II*\0": ("image",),
    b"MM\0*": ("image",),
    b"\x1aE\xdf\xa3": ("video",),  # Matroska and WebM
    b"ID3": ("audio",),
    b"fLaC": ("audio",),
    b"OggS": ("audio",),
}
_RIFF = {b"WEBP": "image", b"AVI ": "video", b"WAVE": "audio"}
_ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip")  # old QuickTime files begin with these
_FOLDER = "Set the folder of the media files with --data.media-folder."


@dataclass(frozen=True, slots=True)
class Source:
    """The source of a media file (path or URL), and its JSON path in the row, which is ignored in comparisons."""

    text: str  # path or URL
    path: str = field(compare=False)  # JSON path in the row


def source_of(value: Any, kind: str, path: str) -> Source:
    """Parse the source in `value`: text is kept, bytes and base64 data become a data: URL.

    Raises:
        Wrong: it names no file.
    """
    if isinstance(value, str) and value:
        return Source(value, path)
    if isinstance(value, Mapping):
        if isinstance(data := value.get("bytes"), bytes | bytearray):
            data = base64.b64encode(data).decode("ascii")
        data = data or value.get("data")
        if isinstance(data, str) and data:
            media_type = value.get("media_type") or f"{kind}/{value.get('format') or '*'}"
            return Source(data if data.startswith("data:") else f"data:{media_type};base64,{data}", path)
        for key in ("url", "path"):
            if isinstance(value.get(key), str) and value[key]:
                return Source(value[key], f"{path}.{key}")
    raise Wrong(
        path, f"must name {_ARTICLES[kind]}, not {kind_of(value)}", 'Write a path, a URL, {"path": …} or {"url": …}.', code="DATA-056"
    )


def resolve(source: Source, kind: str, folder: Path | None) -> str:
    """Check a source; return its absolute path, or its URL unchanged.

    Raises:
        Wrong: the file is missing, outside of `folder` or of another kind, or the URL can't be fetched because of offline mode.
    """
    text, path = source.text, source.path
    scheme = text[:8].partition(":")[0].lower() if ":" in text[:8] else ""
    if scheme == "data":
        _check(_data_start(text, path), kind, text[:40] + "…", path)
        return text
    if scheme in ("http", "https"):
        if network.offline():
            raise Wrong(path, f"{text!r} can't be fetched in offline mode", "Download it, and write the path of the file.", code="DATA-057")
        return text
    if scheme == "file":
        address = urlsplit(text)
        if address.netloc not in ("", "localhost"):
            raise Wrong(path, f"{text!r} is a file on another machine", "Write file:///folder/name.", code="DATA-058")
        text = unquote(address.path)
    elif "://" in text[:16]:
        raise Wrong(path, f"unsupported URL scheme: {text[:40]!r}", "Use a path, https:// or data:.", code="DATA-059")
    return _file(text, kind, folder, path)


def _file(text: str, kind: str, folder: Path | None, path: str) -> str:
    if folder is None:
        raise Wrong(path, f"{text!r} is a path, but these rows have no folder to resolve it against", _FOLDER, code="DATA-060")
    root = os.path.realpath(folder)
    named = os.path.join(root, text)
    found = os.path.realpath(named)
    if os.path.commonpath((root, found)) != root:
        if os.path.isabs(text):
            raise Wrong(path, f"{text!r} is outside of {root}", _FOLDER, code="DATA-061")
        how = "leads" if ".." in Path(text).parts else "is a symbolic link that leads"
        raise Wrong(path, f"{text!r} {how} out of {root}", _FOLDER, code="DATA-062")
    try:
        status = os.stat(found)
    except (OSError, ValueError):
        raise Wrong(
            path, f"there is no file {named!r}", f"Relative paths are resolved against {root}. {_FOLDER}", code="DATA-063"
        ) from None
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "a special file"
        raise Wrong(path, f"{text!r} is {what}, not {_ARTICLES[kind]}", "Name the file.", code="DATA-064")
    try:
        start = _start(found, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise Wrong(path, f"{text!r} can't be read: {error.strerror}", "Check its permissions.", code="DATA-065") from None
    _check(start, kind, text, path)
    return found


@lru_cache(maxsize=1 << 16)
def _start(file: str, modified: int, size: int) -> bytes:
    """Return the first 16 bytes of a file, cached until the file changes."""
    with open(file, "rb") as opened:
        return opened.read(16)


def _data_start(text: str, path: str) -> bytes:
    head, comma, data = text.partition(",")
    if not comma or not head.endswith(";base64"):
        raise Wrong(path, "a data: URL must contain base64 data", "Write data:image/png;base64,….", code="DATA-066")
    try:
        return base64.b64decode(data, validate=True)[:16]
    except (binascii.Error, ValueError) as error:
        raise Wrong(path, f"the base64 of the data: URL can't be decoded: {error}", "Check that it is complete.", code="DATA-067") from None


def _check(start: bytes, kind: str, name: str, path: str) -> None:
    kinds = kinds_of(start)
    if kind not in kinds:
        is_what = "it is empty" if not start else f"it is {_ARTICLES[kinds[0]]}" if kinds else f"it begins with {start[:8]!r}"
        raise Wrong(path, f"{name!r} is not {_ARTICLES[kind]}: {is_what}", f"Supported formats: {_FORMATS[kind]}.", code="DATA-068")


def kinds_of(start: bytes) -> tuple[str, ...]:
    """Return the kinds of media that a file with these first bytes can be: a subset of `KINDS`."""
    for magic, kinds in _STARTS.items():
        if start.startswith(magic):
            return kinds
    if start[:4] == b"RIFF":
        return (_RIFF[start[8:12]],) if start[8:12] in _RIFF else ()
    if start[4:8] == b"ftyp":  # the MP4 family; only the brand M4A tells what is in it
        return ("audio",) if start[8:11] == b"M4A" else ("video", "audio")
    if start[4:8] in _ATOMS:
        return ("video",)
    if len(start) > 1 and start[0] == 0xFF and start[1] & 0xE6 == 0xE2:  # a frame of MPEG audio, layer III
        return ("audio",)
    return ()
