"""Small media files for tests: videos whose frames say their number, and tones."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

MILLISECOND = Fraction(1, 1000)


def write_video(path: Path, colours: Sequence[Any], times: Sequence[int] | None = None, *, codec: str = "mpeg4", **options: Any) -> Path:
    """Write a video with a frame of each colour (a grey value or RGB).

    Args:
        path: its suffix chooses the format.
        colours: of the frames.
        times: of the frames in milliseconds; by default ten per second.
        codec: FFmpeg's name of it.
        options: `size`, (width, height); `settings` of the format, such as {"movflags": "faststart"}.
    """
    import av

    width, height = options.get("size", (64, 48))
    with av.open(str(path), "w", options=options.get("settings", {})) as container:
        stream: Any = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = MILLISECOND
        for number, colour in enumerate(colours):
            pixels = np.empty((height, width, 3), np.uint8)
            pixels[:] = colour
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = times[number] if times else 100 * number, MILLISECOND
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_tone(path: Path, hertz: float, seconds: float = 1.0, *, rate: int = 16000, channels: int = 1) -> Path:
    """Write a WAV file with a tone; of several channels the first alone sounds."""
    tone = np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate) / 2
    samples = np.zeros((len(tone), channels))
    samples[:, 0] = tone
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path
