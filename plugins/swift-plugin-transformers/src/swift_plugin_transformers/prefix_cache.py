"""Cached keys and values of finished sequences, kept for prompts that begin in the same way; the first to go where room is needed."""

from __future__ import annotations

from collections.abc import Sequence

from swift_plugin_transformers.varlen import SequenceCache

SHORTEST = 16  # tokens that are worth a copy


class PrefixCache:
    """The tokens that all rows together may have in memory: those in use, and those that are only kept.

    Args:
        tokens: how many there may be.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self.used = 0  # by sequences that are being answered, up to their longest end
        self._kept: list[tuple[str, list[int], SequenceCache]] = []  # the one used last at the end

    @property
    def held(self) -> int:
        """Tokens that are kept and not in use."""
        return sum(row.room for _, _, row in self._kept)

    def take(self, model: str, prompt: Sequence[int], room: int, *, reuse: bool = True) -> SequenceCache | None:
        """A row with that much room, begun with what is known of the prompt; None: there is no room now."""
        if self.used + room > self.tokens:
            return None
        found = self._longest(model, prompt) if reuse else None
        if found:  # used again: it goes last
            self._kept.remove(found[1])
            self._kept.append(found[1])
        while self.used + room + self.held > self.tokens:
            self._kept.pop(0)
        row = SequenceCache(room)
        if found and found[1] in self._kept:
            row.copy_from(found[1][2], found[0])
        self.used += room
        return row

    def give_back(self, model: str, tokens: Sequence[int], row: SequenceCache) -> None:
        """A sequence is done; what it has cached is kept."""
        self.used -= row.room
        if row.length >= SHORTEST:
            try:
                row.trim()
            except RuntimeError:  # no memory for a copy: torch has no narrower error on all devices
                return
            self._kept.append((model, list(tokens[: row.length]), row))

    def forget(self, model: str | None = None) -> None:
        """Drop what is kept, all or that of one model."""
        self._kept = [entry for entry in self._kept if model is not None and entry[0] != model]

    def _longest(self, model: str, prompt: Sequence[int]) -> tuple[int, tuple[str, list[int], SequenceCache]] | None:
        best: tuple[int, tuple[str, list[int], SequenceCache]] | None = None
        for entry in self._kept:
            if entry[0] == model:
                length = min(_common(entry[1], prompt), len(prompt) - 1)  # one token has to be computed
                if length >= max(SHORTEST, best[0] if best else 0):
                    best = (length, entry)
        return best


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens at the beginning are the same."""
    for at, (mine, its) in enumerate(zip(one, other, strict=False)):
        if mine != its:
            return at
    return min(len(one), len(other))
