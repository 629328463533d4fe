"""Audio decoded to the samples that a model's processor takes: one channel, float32, at its rate."""

from __future__ import annotations

import io
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from swift_core.contract import UsageError
from swift_train.media.containers import REPLACE, opened
from swift_train.media.files import named_in_messages

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_SAMPLES = 1 << 27  # 2.3 hours at 16 kHz
_EXACT = ("flac", "mov,mp4,m4a,3gp,3g2,mj2")  # formats whose headers have the exact duration
_MISSING = 0.1  # seconds that may be missing at the end
_UNKNOWN = 0x7FFFFFFF  # lengths that streams write before they are known


def load_audio(source: str | bytes, rate: int, name: str = "") -> NDArray[np.float32]:
    """Decode audio: the channels averaged, (samples,) float32 from -1 to 1, at a rate.

    Args:
        source: a path, or the content of a file.
        rate: samples per second.
        name: of the file in messages; by default the path.

    Raises:
        UsageError: PyAV is missing; the file is missing or damaged, ends early, is empty or too long, or has samples that are no numbers.
    """
    if missing := _missing_bytes(source):
        named = name or named_in_messages(source)
        raise UsageError(f"{named} is truncated: {missing:,} bytes are missing at its end", code="TRAIN-182", hint=REPLACE)
    with opened(source, name) as (container, named):
        if not container.streams.audio:
            raise UsageError(f"{named} has no audio stream", code="TRAIN-183", hint=REPLACE)
        from av.audio.resampler import AudioResampler

        stream = container.streams.audio[0]
        resampler = AudioResampler(format="fltp", layout=stream.layout, rate=rate)
        parts: list[NDArray[np.float32]] = []
        count = 0
        frame: Any
        for frame in chain(container.decode(stream), [None]):
            for made in resampler.resample(frame):
                parts.append(made.to_ndarray().mean(0))
                count += parts[-1].size
            if count > MAX_SAMPLES:
                raise UsageError(f"{named} is longer than {MAX_SAMPLES // rate // 60} minutes", code="TRAIN-184", hint="Split it.")
        if not count:
            raise UsageError(f"{named} has no samples", code="TRAIN-185", hint=REPLACE)
        said = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
        if container.format.name in _EXACT and count / rate < said - _MISSING:
            raise UsageError(f"{named} is truncated: {count / rate:.1f} of {said:.1f} seconds can be read", code="TRAIN-186", hint=REPLACE)
    samples = np.concatenate(parts).astype(np.float32, copy=False)
    if not np.isfinite(samples).all():
        raise UsageError(f"{named} is damaged: it has samples that are not finite numbers", code="TRAIN-187", hint=REPLACE)
    return samples


def _missing_bytes(source: str | bytes) -> int:
    """Return how many bytes of its data a WAV file lacks by its header, which FFmpeg does not check; 0 for other files."""
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
            head, size = file.read(12), file.seek(0, io.SEEK_END)
            file.seek(12)
            while head[:4] == b"RIFF" and head[8:] == b"WAVE" and len(chunk := file.read(8)) == 8:
                length = int.from_bytes(chunk[4:], "little")
                if chunk[:4] == b"data":
                    return max(0, file.tell() + length - size) if length < _UNKNOWN else 0
                file.seek(length + length % 2, io.SEEK_CUR)
    except OSError:
        return 0
    return 0
