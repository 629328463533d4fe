"""Open video and audio files with PyAV (FFmpeg); what it raises becomes one message with the file's name."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from swift_core.contract import UsageError
from swift_train.media.files import INSTALL, named_in_messages

if TYPE_CHECKING:
    from av.container import InputContainer

REPLACE = "Replace the file, or remove the row."


@contextmanager
def opened(source: str | bytes, name: str = "") -> Iterator[tuple[InputContainer, str]]:
    """Open a media file; yield it and its name in messages.

    Args:
        source: a path, or the content of a file.
        name: in messages; by default the path.

    Raises:
        UsageError: PyAV is missing; the file is missing or damaged, at its beginning or where it is read within the block.
    """
    try:
        import av
    except ImportError:
        raise UsageError("videos and audio are decoded by PyAV, which is not installed", code="TRAIN-195", hint=INSTALL) from None
    named = name or named_in_messages(source)
    given: Any = io.BytesIO(source) if isinstance(source, bytes) else f"file:{source}"  # never a protocol that a name begins with
    try:
        with av.open(given) as container:
            yield container, named
    except FileNotFoundError:
        raise UsageError(f"there is no file {named}", code="TRAIN-137", hint="It was there when the rows were read: put it back.") from None
    except (av.FFmpegError, OSError, ValueError, IndexError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UsageError(f"{named} can't be decoded: {reason}", code="TRAIN-196", hint=REPLACE) from None
