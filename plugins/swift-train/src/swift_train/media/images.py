"""Images decoded as transformers' own `load_image` does: turned as their EXIF tag says, RGB, 8 bits a channel.

Whatever would be another image without anyone noticing is an error: an animation of which one frame would be used, more than eight bits a
channel that would be clipped.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from swift_core.contract import UsageError
from swift_train.media.files import INSTALL, named_in_messages

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MAX_PIXELS = 1 << 27  # of an image; a larger one is taken for a decompression bomb
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")


def load_image(source: str | bytes, name: str = "") -> Picture:
    """Decode an image: turned as its EXIF tag says, RGB, 8 bits a channel.

    Args:
        source: a path, or the content of a file.
        name: of the image in messages; by default the path.

    Raises:
        UsageError: Pillow is missing; the file is missing, damaged, animated, too large, or has pixels that 8 bits can't hold.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        raise UsageError("images are decoded by Pillow, which is not installed", code="TRAIN-136", hint=INSTALL) from None
    named = name or named_in_messages(source)
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
    if frames > 1 and image.format != "MPO":  # a JPEG of a camera, with a preview behind the image
        raise UsageError(
            f"{named} is animated: it has {frames} frames", code="TRAIN-141", hint="Save the frame that is meant as a file of its own."
        )


def _eight_bits(image: Picture, named: str) -> Picture:
    """Return an image of 16 bits a channel as one of 8; Pillow's own conversion would clip it."""
    if image.mode.startswith("I;16"):
        import numpy as np
        from PIL import Image

        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise UsageError(
            f"{named} has pixels of 32 bits, whose range is not known", code="TRAIN-142", hint="Save it with 8 or 16 bits a channel."
        )
    return image
