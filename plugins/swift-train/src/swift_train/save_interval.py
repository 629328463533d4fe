"""When a checkpoint is due by the clock: before so much time has passed since the last one, so that no more than that can be lost."""

from __future__ import annotations

import time


class SaveTimer:
    """Counts from the last checkpoint, or the start; it must be started before it is asked."""

    def __init__(self, seconds: float) -> None:
        self._most = seconds
        self._since = self._last = self._longest = 0.0

    def start(self) -> None:
        """Count from now."""
        self._since = self._last = time.monotonic()

    def step(self) -> None:
        """A step was done; the next may take as long as the longest did."""
        now = time.monotonic()
        self._longest, self._last = max(self._longest, now - self._last), now

    def due(self) -> bool:
        """Whether another step would be too many."""
        return time.monotonic() - self._since + self._longest > self._most
