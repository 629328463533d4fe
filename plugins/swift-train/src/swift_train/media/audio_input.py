"""Audio input of a model's processor: its rate, and how much of a recording reaches the model.

Whisper's feature extractor takes 30 seconds and drops the rest without a word. Whether it does is asked of the extractor itself, on noise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from swift_core.contract import UsageError
from swift_train.media.files import named_in_messages

_TAIL = 0.05  # seconds at the end that are changed


class AudioInput:
    """The audio part of a processor.

    Args:
        extractor: transformers' feature extractor; None for a model without one.

    Attributes:
        rate: samples per second that it takes.
    """

    def __init__(self, extractor: Any) -> None:
        self._extractor = extractor
        self.rate = int(getattr(extractor, "sampling_rate", None) or 16000)
        self._heard = 0

    def check(self, samples: int, source: str | bytes) -> None:
        """Check that a recording reaches the model to its end.

        Args:
            samples: its length at `rate`.
            source: of the file, for the message.

        Raises:
            UsageError: the extractor drops its end.
        """
        if samples <= self._heard:
            return
        if not self._hears(samples):
            raise UsageError(
                f"{named_in_messages(source)} is {samples / self.rate:.1f} seconds long, and the model's processor drops its end",
                code="TRAIN-197",
                hint="Split it into shorter recordings.",
            )
        self._heard = samples

    def _hears(self, samples: int) -> bool:
        """Return whether features change with the end of noise of that length."""
        noise = np.random.default_rng(0).standard_normal(samples, np.float32) / 8
        other = noise.copy()
        other[-int(_TAIL * self.rate) :] = 0
        first, second = (self._extractor(values, sampling_rate=self.rate, return_tensors="np") for values in (noise, other))
        names = [name for name, value in first.items() if np.asarray(value).dtype.kind == "f"]
        return any(not np.array_equal(first[name], second[name]) for name in names)
