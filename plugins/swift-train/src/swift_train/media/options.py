"""Options of media, set in the model's processor and saved with it, so that a server of the result treats them alike."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import model_validator

from swift_core.contract import UsageError
from swift_core.options import Options, option

if TYPE_CHECKING:
    from swift_train.media.processor import MediaProcessor
    from swift_train.media.videos import Film

log = logging.getLogger(__name__)
_EDGES, _TIMES = (64, 256), 16
_LARGE: dict[str, tuple[int, ...]] = {"image": (512, 512), "video": (8, 1024, 1024, 2, 1)}
_LONG, _SHORT = 18000, 300  # frames of ten minutes and of ten seconds, to see what a processor samples


class MediaOptions(Options):
    """Resizing of images, sampling and resizing of videos."""

    max_pixels: int | None = option(
        None,
        "Maximum pixels of an image; larger ones are resized. Default: the processor's own.",
        ge=1,
        also=("image_max_pixels",),
    )
    min_pixels: int | None = option(
        None,
        "Minimum pixels of an image; smaller ones are resized. Default: the processor's own.",
        ge=1,
        also=("image_min_pixels",),
    )
    video_max_pixels: int | None = option(
        None,
        "Most pixels of a video frame, or of a whole video where the processor counts that (Qwen3-VL); larger ones are made smaller. "
        "Default: the processor's own.",
        ge=1,
    )
    fps: float | None = option(
        None, "Frames of a video that are sampled per second. Default: the processor's own, else 2.", gt=0, also=("video_fps",)
    )
    max_frames: int | None = option(
        None, "Most frames of a video. Default: the processor's own.", ge=2, also=("video_maxlen", "fps_max_frames", "max_num_frames")
    )

    @model_validator(mode="after")
    def _ordered(self) -> MediaOptions:
        if self.max_pixels and self.min_pixels and self.min_pixels > self.max_pixels:
            raise ValueError("min_pixels must not be larger than max_pixels")
        return self


def use_media_options(processor: Any, options: MediaOptions) -> None:
    """Set the options in a model's processor.

    Raises:
        UsageError: the model's processor has no such setting.
    """
    images = {name for name in ("max_pixels", "min_pixels") if getattr(options, name) is not None}
    videos = {name for name in ("video_max_pixels", "fps", "max_frames") if getattr(options, name) is not None}
    if not images and not videos:
        return
    from swift_train.media.processor import media_processor

    media = media_processor(processor)
    for names, kind in ((images, "image"), (videos, "video")):
        if names and (media is None or kind not in media.placeholders):
            log.warning("%s: no effect, since this model takes no %ss", ", ".join(sorted(names)), kind)
            names.clear()
    if media is None:
        return
    if images:
        _limit_pixels(media, "image", "max_pixels", options.min_pixels, options.max_pixels)
    if "video_max_pixels" in videos:
        _limit_pixels(media, "video", "video_max_pixels", None, options.video_max_pixels)
    if options.fps is not None and "fps" in videos:
        _sample_per_second(processor.video_processor, options.fps)
    if options.max_frames is not None and "max_frames" in videos:
        _sample_at_most(processor.video_processor, options.max_frames)


def _limit_pixels(media: MediaProcessor, kind: str, option: str, least: int | None, most: int | None) -> None:
    """Limit the pixels of images or videos."""
    own = getattr(media.processor, f"{kind}_processor")
    size = dict(own.size)
    shortest, longest = size.get("shortest_edge"), size.get("longest_edge")  # in Qwen's processors these are numbers of pixels
    if not shortest or not longest or not _counts_pixels(media, kind):
        problem = f"this model's processor has no limit of pixels: it resizes {kind}s to a size of its own"
        raise UsageError(problem, code="TRAIN-151", where=f"media.{option}", hint=f"Omit {option}.")
    if most is not None and least is None:
        shortest = min(shortest, most)
    own.size = {"shortest_edge": least or shortest, "longest_edge": most or longest}


def _counts_pixels(media: MediaProcessor, kind: str) -> bool:
    """Return whether the processor's `longest_edge` is a number of pixels: sixteen times as many make a large image so much longer."""
    own = getattr(media.processor, f"{kind}_processor")
    kept, lengths, factor = own.size, [], _LARGE[kind][0] if kind == "video" else 1
    try:
        for edge in _EDGES:
            own.size = {"shortest_edge": 1, "longest_edge": edge * edge * factor}
            lengths.append(media.expansion_of(kind, _LARGE[kind]).count(media.placeholders[kind]))
    except UsageError:
        return False
    finally:
        own.size = kept
    few, many = lengths
    return few * _TIMES / 2 < many < few * _TIMES * 2


def _sample_per_second(processor: Any, fps: float) -> None:
    """Set the frames per second of a video processor."""
    if getattr(processor, "num_frames", None) is not None and len(_sampled(processor, {"fps": fps}, _film(_SHORT))) == 0:
        processor.num_frames = None  # both exclude each other in most processors
    processor.fps = fps
    short = _film(_SHORT)
    most = min(getattr(processor, name, None) or short.frames for name in ("max_frames", "num_frames"))
    wanted, found = min(fps * float(short.frames / short.rate), most), len(_sampled(processor, {}, short))
    if not wanted / 2 <= found <= wanted * 2:
        problem = f"this model's processor samples {found} frames of ten seconds, and not {fps:g} per second"
        raise UsageError(problem, code="TRAIN-180", where="media.fps", hint="Omit fps, or set max_frames too.")


def _sample_at_most(processor: Any, frames: int) -> None:
    """Set the largest number of frames of a video processor, by the setting that it has for it."""
    for name in ("max_frames", "num_frames"):
        if name == "max_frames" and getattr(processor, name, None) is None:
            continue
        own = getattr(processor, "min_frames", None)
        settings = {name: frames, **({"min_frames": min(own, frames)} if own else {})}
        if 0 < len(_sampled(processor, settings, _film(_LONG))) <= frames:
            for setting, value in settings.items():
                setattr(processor, setting, value)
            return
    problem = "this model's processor has no largest number of frames beside a rate"
    raise UsageError(problem, code="TRAIN-181", where="media.max_frames", hint="Set either max_frames or fps.")


@cache
def _film(frames: int) -> Film:
    """Return a film of so many frames, 30 per second."""
    from swift_train.media.videos import Film

    return Film(frames, 480, 640, Fraction(30))


def _sampled(processor: Any, settings: dict[str, Any], film: Film) -> Sequence[int]:
    """Return what is sampled of a video with other settings; nothing if they are refused."""
    from swift_train.media.sampling import sampled

    kept = {name: getattr(processor, name, None) for name in settings}
    try:
        for name, value in settings.items():
            setattr(processor, name, value)
        return sampled(processor, film)
    except (ValueError, TypeError, ZeroDivisionError):
        return ()
    finally:
        for name, value in kept.items():
            setattr(processor, name, value)
