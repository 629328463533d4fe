"""ms-swift's names of limits of pixels and frames: environment variables, and keys of `--model_kwargs`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from swift_core.contract import UsageError

OPTIONS: Mapping[str, str] = {
    "MAX_PIXELS": "max_pixels", "MIN_PIXELS": "min_pixels", "VIDEO_MAX_PIXELS": "video_max_pixels", "FPS": "fps",
    "FPS_MAX_FRAMES": "max_frames", "MAX_NUM_FRAMES": "max_frames",
}  # fmt: skip


def options_of(arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the option and the value of each of the arguments, which ms-swift sets as variables.

    Raises:
        UsageError: there is no such option.
    """
    for name, value in arguments.items():
        if name.upper() not in OPTIONS:
            hint = f"Known: {', '.join(sorted(each.lower() for each in OPTIONS))}; other settings are those of the model's processor."
            raise UsageError("there is no option for it", code="TRAIN-276", where=f"model_kwargs.{name}", hint=hint)
        yield f"media.{OPTIONS[name.upper()]}", str(value)
