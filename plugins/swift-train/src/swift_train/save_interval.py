"""Decide by the clock when to save a checkpoint, so that at most a given time of work can be lost."""

from __future__ import annotations

import time


class SaveTimer:
    """Tells when a checkpoint is due: before `seconds` have passed since `start` was last called.

    Args:
        seconds: maximum time between checkpoints.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since = self._last = self._longest = 0.0

    def start(self) -> None:
        """Restart the interval: at the start of training, and after each checkpoint."""
        self._since = self._last = time.monotonic()

    def step(self) -> None:
        """Record that a step has ended; the next is assumed to take as long as the longest so far."""
        now = time.monotonic()
        self._longest, self._last = max(self._longest, now - self._last), now

    def due(self) -> bool:
        """Return whether the interval would be exceeded before the end of another step."""
        return time.monotonic() - self._since + self._longest > self._seconds
