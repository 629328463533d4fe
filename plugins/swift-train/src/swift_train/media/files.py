"""Media files as rows name them: their checks, and pictures decoded as every processor gets them.

A picture is turned as its EXIF tag says and converted to RGB, as transformers' own `load_image` does. Whatever would be another picture
without anyone noticing is an error: an animation of which one frame would be used, more than eight bits a channel that would be clipped.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from swift_core.contract import UsageError
from swift_core.system import paths

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MAX_PIXELS = 1 << 27  # of a picture; a larger one is taken for a decompression bomb
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")
_INSTALL = "pip install 'swift-train[media]'"


class MediaFile(NamedTuple):
    """A media file of a row: its kind ("image"), absolute path, size and time of change, and height and width in pixels."""

    kind: str
    path: str
    bytes: int
    modified: int  # nanoseconds
    size: tuple[int, ...]


def media_file(kind: str, source: str) -> MediaFile:
    """Check a media file by decoding it.

    Args:
        kind: "image"; others are refused.
        source: an absolute path or a data: URL, as `swift_data.rows` returns them. The content of a data: URL is kept in the cache folder.

    Raises:
        UsageError: it can't be decoded, or is of a kind that is not trained on.
    """
    if kind != "image":
        raise UsageError(
            f"{_named(source)} is {'an audio' if kind == 'audio' else 'a video'} file, and only images are trained on",
            code="TRAIN-134",
            hint="Remove such rows; a video can be given as images of its frames.",
        )
    path = _from_data_url(source) if source.startswith("data:") else source
    if path.startswith(("http://", "https://")):
        raise UsageError(f"{path!r} is not on this machine", code="TRAIN-135", hint="Download it, and write the path of the file.")
    image = load_image(path)
    status = os.stat(path)
    return MediaFile(kind, path, status.st_size, status.st_mtime_ns, (image.height, image.width))


def unchanged(file: MediaFile) -> bool:
    """Return whether a file is still the one that was checked, by its size and time of change."""
    try:
        status = os.stat(file.path)
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (file.bytes, file.modified)


def load_image(source: str | bytes, name: str = "") -> Picture:
    """Decode a picture: turned as its EXIF tag says, RGB, 8 bits a channel.

    Args:
        source: a path, or the content of a file.
        name: of the picture in messages; by default the path.

    Raises:
        UsageError: Pillow is missing; the file is missing, damaged, animated, too large, or has pixels that 8 bits can't hold.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        raise UsageError("images are decoded by Pillow, which is not installed", code="TRAIN-136", hint=_INSTALL) from None
    named = name or _named(source)
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=_FORMATS) as opened:
            _check(opened, named)
            opened.load()
            return _eight_bits(ImageOps.exif_transpose(opened), named).convert("RGB")
    except FileNotFoundError:
        raise UsageError(f"there is no file {named}", code="TRAIN-137", hint="It was there when the rows were read: put it back.") from None
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UsageError(f"{named} can't be decoded: {error}", code="TRAIN-138", hint="Replace the file, or remove the row.") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError) as error:  # by format
        raise UsageError(
            f"{named} is damaged: {error or type(error).__name__}", code="TRAIN-139", hint="Replace the file, or remove the row."
        ) from None


def _check(image: Picture, named: str) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise UsageError(
            f"{named} has {image.width}×{image.height} pixels, at most {MAX_PIXELS:,} are decoded",
            code="TRAIN-140",
            hint="Make it smaller.",
        )
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a JPEG of a camera, with a preview behind the picture
        raise UsageError(
            f"{named} is animated: it has {frames} frames", code="TRAIN-141", hint="Save the frame that is meant as a file of its own."
        )


def _eight_bits(image: Picture, named: str) -> Picture:
    """Return a picture of 16 bits a channel as one of 8; Pillow's own conversion would clip it."""
    if image.mode.startswith("I;16"):
        import numpy as np
        from PIL import Image

        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise UsageError(
            f"{named} has pixels of 32 bits, whose range is not known", code="TRAIN-142", hint="Save it with 8 or 16 bits a channel."
        )
    return image


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


def _named(source: str | bytes) -> str:
    return "the picture" if isinstance(source, bytes) or source.startswith("data:") else repr(str(Path(source)))
