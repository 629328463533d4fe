"""Videos decoded to the frames that a model's processor samples.

Frames are found by their time, not by their number: a film of a phone has no constant rate, and the frame with a number would be shown at
another time than the processor assumes. Every frame is turned as the file says, RGB, 8 bits a channel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from swift_core.contract import UsageError
from swift_train.media.containers import REPLACE, opened

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_PIXELS = 1 << 30  # of the sampled frames of a video: 3 GiB of RGB
_LARGEST_RATE = 1001  # denominators of frame rates, such as 30000/1001
_LATE = 1.5  # frames that may be missing at the end of a file
_SHORTER = 0.95  # of its said duration a video may be, less a second


class Film(NamedTuple):
    """Facts of a video that need no decoding.

    Attributes:
        frames: their number.
        height, width: in pixels, as they are seen.
        rate: frames per second, on average.
    """

    frames: int
    height: int
    width: int
    rate: Fraction


Sampling = Callable[[Film], Sequence[int]]  # returns the numbers of the frames that a model sees, in order


@dataclass(frozen=True, slots=True)
class Video:
    """The sampled frames of a video: (sampled, height, width, 3) uint8, and their numbers as if the rate were constant."""

    film: Film
    numbers: tuple[int, ...]
    frames: NDArray[np.uint8]


def load_video(source: str | bytes, sampling: Sampling, name: str = "") -> Video:
    """Decode the frames of a video that a model sees.

    Args:
        source: a path, or the content of a file.
        sampling: chooses them.
        name: of the video in messages; by default the path.

    Raises:
        UsageError: PyAV is missing; the file is missing or damaged, ends early, has no frames, or too many pixels are sampled.
    """
    with opened(source, name) as (container, named):
        times, turned = _times(container, named)
        stream = container.streams.video[0]
        height, width = (stream.width, stream.height) if turned % 2 else (stream.height, stream.width)
        film = Film(len(times), height, width, _rate(times))
        numbers = tuple(int(number) for number in sampling(film))
        if len(numbers) * height * width > MAX_PIXELS:
            raise UsageError(
                f"{len(numbers)} frames of {width}×{height} pixels are sampled from {named}, and at most {MAX_PIXELS:,} pixels are decoded",
                code="TRAIN-188",
                hint="Sample fewer with --fps or --max-frames, or make the video smaller.",
            )
        wanted = [times[0] + Fraction(number) / film.rate for number in numbers]
        container.seek(0)
        late = Fraction(_LATE) / film.rate
        frames = np.stack(list(_shown(container, wanted, times[-1] - late, named)))
    return Video(film, numbers, np.ascontiguousarray(np.rot90(frames, turned, axes=(1, 2))))


def _times(container: Any, named: str) -> tuple[list[Fraction], int]:
    """Return the times of a video's frames in seconds, in order, and by how many quarters they are turned, against the clock."""
    if not container.streams.video:
        raise UsageError(f"{named} has no video stream", code="TRAIN-189", hint=REPLACE)
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    base = Fraction(stream.time_base or 1)
    found = sorted(packet.pts if packet.pts is not None else packet.dts for packet in container.demux(stream) if packet.dts is not None)
    if not found:
        raise UsageError(f"{named} has no frames", code="TRAIN-190", hint=REPLACE)
    said, lasts = _said_to_last(container, base), float((found[-1] - found[0]) * base)
    if lasts < said * _SHORTER - 1:
        raise UsageError(f"{named} is truncated: its frames end after {lasts:.1f} of {said:.1f} seconds", code="TRAIN-191", hint=REPLACE)
    container.seek(0)
    first = next(container.decode(stream), None)
    if first is None:
        raise UsageError(f"{named} has no frames", code="TRAIN-190", hint=REPLACE)
    return [time * base for time in found], _turned(first)


def _turned(frame: Any) -> int:
    """Return by how many quarters a frame is to be turned against the clock, as the display matrix of its file says."""
    return int(round(frame.rotation / 90) % 4)


def _said_to_last(container: Any, base: Fraction) -> float:
    """Return how many seconds the file says that its video lasts; 0 if it says nothing."""
    stream = container.streams.video[0]
    if stream.duration:
        return float(stream.duration * base)
    hours, _, rest = str(stream.metadata.get("DURATION", "")).partition(":")  # Matroska: 00:00:02.500000000
    minutes, _, seconds = rest.partition(":")
    try:
        return 3600 * float(hours) + 60 * float(minutes) + float(seconds)
    except ValueError:
        return 0.0


def _rate(times: Sequence[Fraction]) -> Fraction:
    """Return the average number of frames per second."""
    lasts = times[-1] - times[0]
    return ((len(times) - 1) / lasts).limit_denominator(_LARGEST_RATE) if lasts else Fraction(1)


def _shown(container: Any, wanted: Sequence[Fraction], end: Fraction, named: str) -> Iterator[NDArray[np.uint8]]:
    """Yield the frame that is shown at each time; `end` is the time that the last frame must reach."""
    stream = container.streams.video[0]
    base, half = Fraction(stream.time_base or 1), Fraction(1, 2000)  # times in milliseconds are rounded
    rest, shown, at = list(wanted), None, Fraction(0)
    for frame in container.decode(stream):
        at = Fraction(frame.pts if frame.pts is not None else frame.dts or 0) * base
        while shown is not None and rest and rest[0] + half < at:
            rest.pop(0)
            yield shown.to_ndarray(format="rgb24")
        if not rest:
            return
        if frame.is_corrupt:
            raise UsageError(f"{named} is damaged: the frame at {float(at):.2f} s can't be decoded", code="TRAIN-192", hint=REPLACE)
        shown = frame
    if shown is None or at < end:
        raise UsageError(f"{named} is truncated: its frames end at {float(at):.2f} s", code="TRAIN-193", hint=REPLACE)
    for _ in rest:
        yield shown.to_ndarray(format="rgb24")
