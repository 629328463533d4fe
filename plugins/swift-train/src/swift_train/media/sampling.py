"""Which frames of a video a model's processor samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from swift_train.media.videos import Film, Video

DEFAULT_FPS = 2.0  # where a processor has neither a rate nor a number of frames; Qwen's own tools sample at this rate
_NOT_OF_SAMPLING = ("do_convert_rgb", "do_sample_frames", "device", "input_data_format", "video_metadata")


def sampled(processor: Any, film: Film) -> list[int]:
    """Return the numbers of the frames that a video processor samples, as it does itself when it samples.

    Args:
        processor: the video processor of a model, with its settings.
        film: the video.
    """
    from transformers.video_utils import VideoMetadata

    if film.frames < (getattr(processor, "temporal_patch_size", None) or 1):  # its rounding would leave none
        return list(range(film.frames))
    names = [name for name in processor.valid_kwargs.__annotations__ if name not in _NOT_OF_SAMPLING]
    settings = {name: value for name in names if (value := getattr(processor, name, None)) is not None}
    if settings.get("fps") is None and settings.get("num_frames") is None:
        settings["fps"] = DEFAULT_FPS
    for name, most in (("fps", float(film.rate)), ("num_frames", film.frames)):  # more than there is would be refused
        if settings.get(name) is not None:
            settings[name] = min(settings[name], most)
    seconds = film.frames / float(film.rate)
    metadata = VideoMetadata(film.frames, float(film.rate), film.width, film.height, seconds)
    found: Sequence[Any] = processor.sample_frames(metadata=metadata, **settings)
    return [int(number) for number in found]


def metadata_of(video: Video) -> Any:
    """Return what transformers knows of a video whose frames were sampled."""
    from transformers.video_utils import VideoMetadata

    film = video.film
    return VideoMetadata(
        film.frames, float(film.rate), film.width, film.height, film.frames / float(film.rate), "pyav", list(video.numbers)
    )
