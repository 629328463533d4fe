"""Options of media, set in the model's processor and saved with it, so that a server of the result treats pictures alike."""

from __future__ import annotations

import logging
from typing import Any

from pydantic import model_validator

from swift_core.contract import UsageError
from swift_core.options import Options, option
from swift_train.media.processor import MediaProcessor, media_processor

log = logging.getLogger(__name__)
_EDGES, _TIMES, _LARGE = (64, 256), 16, (512, 512)


class MediaOptions(Options):
    """How pictures are resized."""

    max_pixels: int | None = option(
        None, "Most pixels of a picture; a larger one is made smaller. Default: the processor's own.", ge=1, also=("image_max_pixels",)
    )
    min_pixels: int | None = option(
        None, "Fewest pixels of a picture; a smaller one is made larger. Default: the processor's own.", ge=1, also=("image_min_pixels",)
    )

    @model_validator(mode="after")
    def _ordered(self) -> MediaOptions:
        if self.max_pixels and self.min_pixels and self.min_pixels > self.max_pixels:
            raise ValueError("min_pixels must not be larger than max_pixels")
        return self


def use_media_options(processor: Any, options: MediaOptions) -> None:
    """Set the options in a model's processor.

    Raises:
        UsageError: the model's processor resizes pictures to a size of its own.
    """
    if options.max_pixels is None and options.min_pixels is None:
        return
    media = media_processor(processor)
    if media is None:
        log.warning("max_pixels and min_pixels have no effect: this model takes no pictures")
        return
    size = dict(processor.image_processor.size)
    shortest, longest = size.get("shortest_edge"), size.get("longest_edge")  # in Qwen's processors these are numbers of pixels
    if not shortest or not longest or not _limits_pixels(processor, media):
        problem = "this model's processor has no limit of pixels: it resizes pictures to a size of its own"
        raise UsageError(problem, code="TRAIN-151", where="media.max_pixels", hint="Leave out max_pixels and min_pixels.")
    processor.image_processor.size = {"shortest_edge": options.min_pixels or shortest, "longest_edge": options.max_pixels or longest}


def _limits_pixels(processor: Any, media: MediaProcessor) -> bool:
    """Return whether the processor's `longest_edge` is a number of pixels: sixteen times as many make a large picture so much longer."""
    own, kept = processor.image_processor, processor.image_processor.size
    lengths = []
    try:
        for edge in _EDGES:
            own.size = {"shortest_edge": 1, "longest_edge": edge * edge}
            lengths.append(len(media.expansion_of("image", _LARGE)))
    except UsageError:
        return False
    finally:
        own.size = kept
    few, many = lengths
    return _TIMES / 2 < many / few < _TIMES * 2
