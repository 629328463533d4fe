"""Stop strings: pass on the text before the first one, never a part of one."""

from __future__ import annotations

from collections.abc import Sequence


class StopFilter:
    """Incremental filter that ends at a stop string. Text that may be the beginning of one is held back until that is decided.

    Args:
        stops: non-empty strings.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.hit = False

    def push(self, text: str) -> str:
        """Add text and return what can be passed on now; nothing after a stop string was found (`hit`)."""
        if self.hit:
            return ""
        text = self._held + text
        found = [position for position in (text.find(stop) for stop in self._stops) if position >= 0]
        if found:
            self.hit, self._held = True, ""
            return text[: min(found)]
        keep = partial_match_length(text, self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """Return the text that was held back, at the end of the completion."""
        held, self._held = self._held, ""
        return held


def partial_match_length(text: str, stops: Sequence[str]) -> int:
    """Return the length of the longest suffix of `text` that is a proper prefix of a stop string."""
    longest = max((len(stop) for stop in stops), default=0)
    for length in range(min(longest - 1, len(text)), 0, -1):
        if any(stop.startswith(text[-length:]) for stop in stops):
            return length
    return 0
