"""Videos and audio decoded: frames by their time, one channel at the processor's rate, and damage named."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from swift_testing.media_files import write_tone, write_video
from swift_train.media import videos
from swift_train.media.audio import load_audio
from swift_train.media.videos import Film, load_video

from swift_core.contract import UsageError

GREYS = tuple(range(0, 200, 10))


def shown(path: Path | bytes, step: int = 1) -> list[int]:
    """Return the grey values of the frames, rounded to tens."""
    video = load_video(path if isinstance(path, bytes) else str(path), lambda film: range(0, film.frames, step))
    return [10 * round(float(frame.mean()) / 10) for frame in video.frames]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "mpeg4"), ("a.mkv", "mpeg4"), ("a.avi", "mpeg4"), ("a.webm", "libvpx"), ("b.mp4", "libx264")]
)
def test_the_sampled_frames_of_every_format(tmp_path, name, codec):
    path = write_video(tmp_path / name, GREYS, codec=codec)
    assert shown(path, 4) == [0, 40, 80, 120, 160]
    assert load_video(str(path), lambda film: [3]).film == Film(20, 48, 64, Fraction(10))
    assert shown(path.read_bytes(), 4) == shown(path, 4)


def test_frames_of_a_variable_rate_are_those_that_are_shown_at_the_time(tmp_path):
    times = [0, 100, 200, 300, 400, 1400, 2400, 3400]
    path = write_video(tmp_path / "a.mp4", GREYS[:8], times)
    video = load_video(str(path), lambda film: range(film.frames))
    assert video.film.rate == Fraction(7 * 10, 34)
    expected = [GREYS[max(place for place, time in enumerate(times) if time / 1000 <= number * 3.4 / 7 + 1e-6)] for number in range(8)]
    assert shown(path) == expected


def test_an_animation_is_a_video_and_a_turned_video_is_turned_back(tmp_path, monkeypatch):
    frames = [Image.new("RGB", (40, 30), (grey, grey, grey)) for grey in GREYS[:8]]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=200)
    assert shown(tmp_path / "a.gif") == list(GREYS[:8])
    path = write_video(tmp_path / "a.mp4", GREYS[:2])
    monkeypatch.setattr(videos, "_turned", lambda frame: 1)
    turned = load_video(str(path), lambda film: [0])
    assert (turned.film.height, turned.film.width, turned.frames.shape) == (64, 48, (1, 64, 48, 3))


def _noise(folder: Path) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3), np.uint8)
    return write_video(folder / "noise.mp4", list(pixels), settings={"movflags": "faststart"}).read_bytes()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (0.0, "can't be decoded"),
        (0.001, "can't be decoded"),
        (0.05, "truncated"),
        (0.5, "truncated"),
        (0.98, "can't be decoded|truncated|damaged"),
    ],
)
def test_a_truncated_video_is_named(tmp_path, part, message):
    whole = _noise(tmp_path)
    (tmp_path / "cut.mp4").write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(UsageError, match=message) as caught:
        load_video(str(tmp_path / "cut.mp4"), lambda film: range(film.frames))
    assert "cut.mp4" in caught.value.message
    assert caught.value.hint


def test_what_is_no_video_and_too_much_of_it(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="no video stream"):
        load_video(str(write_tone(tmp_path / "a.wav", 440)), lambda film: [0])
    with pytest.raises(UsageError, match="there is no file"):
        load_video(str(tmp_path / "none.mp4"), lambda film: [0])
    monkeypatch.setattr(videos, "MAX_PIXELS", 5 * 48 * 64)
    path = write_video(tmp_path / "a.mp4", GREYS)
    assert len(shown(path, 4)) == 5
    with pytest.raises(UsageError, match="at most") as caught:
        shown(path, 2)
    assert "--max-frames" in caught.value.hint


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (8000, 1), (44100, 2)])
def test_audio_is_one_channel_at_the_rate(tmp_path, rate, channels):
    samples = load_audio(str(write_tone(tmp_path / "a.wav", 440, 1.5, rate=rate, channels=channels)), 16000)
    expected = np.sin(2 * np.pi * 440 * np.arange(24000) / 16000) / 2 / channels
    assert samples.dtype == np.float32
    assert len(samples) == 24000
    assert np.abs(samples - expected)[200:-200].max() < 1e-3


def test_bad_audio_is_named(tmp_path):
    whole = write_tone(tmp_path / "a.wav", 440).read_bytes()
    for content, message in (
        (whole[:20], "can't be decoded"),
        (whole[:5000], "truncated"),
        (whole[:44], "truncated"),
        (b"", "can't be decoded"),
    ):
        (tmp_path / "bad.wav").write_bytes(content)
        with pytest.raises(UsageError, match=message) as caught:
            load_audio(str(tmp_path / "bad.wav"), 16000)
        assert "bad.wav" in caught.value.message
    with wave.open(str(tmp_path / "empty.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
    with pytest.raises(UsageError, match="no samples"):
        load_audio(str(tmp_path / "empty.wav"), 16000)
    with pytest.raises(UsageError, match="no audio stream"):
        load_audio(str(write_video(tmp_path / "a.mp4", GREYS)), 16000)
