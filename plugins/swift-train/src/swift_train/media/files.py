"""Media files as rows name them: found, kept if a row holds their content, and known again by size and time of change."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from swift_core.contract import UsageError
from swift_core.system import paths

if TYPE_CHECKING:
    from swift_train.media.processor import MediaProcessor

INSTALL = "pip install 'swift-train[media]'"


class MediaFile(NamedTuple):
    """A media file of a row: its kind, absolute path, size and time of change, and its extent.

    The extent decides what stands in the place of the file in a text. "image": height and width in pixels. "video": frames, height, width,
    and frames per second as numerator and denominator. "audio": samples at the rate of the model's processor.
    """

    kind: str
    path: str
    bytes: int
    modified: int  # nanoseconds
    size: tuple[int, ...]


def media_file(kind: str, source: str, processor: MediaProcessor) -> MediaFile:
    """Check a media file by decoding it.

    Args:
        kind: "image", "video" or "audio".
        source: an absolute path or a data: URL, as `swift_data.rows` returns them. The content of a data: URL is kept in the cache folder.
        processor: of the model, which takes that kind.

    Raises:
        UsageError: it can't be decoded, or the model does not take all of it.
    """
    path = _from_data_url(source) if source.startswith("data:") else source
    if path.startswith(("http://", "https://")):
        raise UsageError(f"{path!r} is not on this machine", code="TRAIN-135", hint="Download it, and write the path of the file.")
    size = processor.extent(processor.load(kind, path))
    status = os.stat(path)
    return MediaFile(kind, path, status.st_size, status.st_mtime_ns, size)


def unchanged(file: MediaFile) -> bool:
    """Return whether a file is still the one that was checked, by its size and time of change."""
    try:
        status = os.stat(file.path)
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (file.bytes, file.modified)


def _from_data_url(source: str) -> str:
    """Write the content of a data: URL into the cache folder, named by its hash; return the path."""
    content = base64.b64decode(source.partition(",")[2])
    path = paths.cache_dir("media") / hashlib.sha256(content).hexdigest()
    if not path.is_file():
        with paths.disk_errors(path):
            paths.make_folder(path.parent)
            aside = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
            aside.write_bytes(content)
            aside.replace(path)
    return str(path)


def named_in_messages(source: str | bytes) -> str:
    """Return how messages name a media file."""
    return "the file of a data: URL" if isinstance(source, bytes) or source.startswith("data:") else repr(str(Path(source)))
