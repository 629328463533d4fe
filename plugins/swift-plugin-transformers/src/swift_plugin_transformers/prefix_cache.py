"""Prefix cache: keys and values of finished sequences, reused by prompts with the same prefix and evicted in LRU order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swift_plugin_transformers.varlen import SequenceCache

MIN_PREFIX = 16  # tokens; a shorter common prefix is not worth the copy


@dataclass(eq=False, slots=True)
class Entry:
    """The cache of a finished sequence: the model or adapter that computed it, and its tokens."""

    model: str
    tokens: list[int]
    cache: SequenceCache


class PrefixCache:
    """Allocates the key-value caches of all sequences from one budget of tokens, and keeps those of finished sequences.

    Args:
        capacity: maximum number of tokens in memory, of active and of finished sequences together.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.in_use = 0  # tokens reserved by active sequences, for their maximum length
        self.entries: list[Entry] = []  # in LRU order: the most recently used last

    @property
    def reusable(self) -> int:
        """Number of tokens in the caches of finished sequences."""
        return sum(entry.cache.capacity for entry in self.entries)

    def allocate(self, model: str, prompt: Sequence[int], capacity: int, *, reuse: bool = True) -> SequenceCache | None:
        """Return a cache for `capacity` tokens that holds the longest known prefix of the prompt; None if there is no memory now."""
        if self.in_use + capacity > self.capacity:
            return None
        found, length = self._longest_prefix(model, prompt) if reuse else (None, 0)
        if found:
            self.entries.remove(found)
            self.entries.append(found)
        while self.in_use + capacity + self.reusable > self.capacity:
            self.entries.pop(0)
        cache = SequenceCache(capacity)
        if found and found in self.entries:
            cache.copy_from(found.cache, length)
        self.in_use += capacity
        return cache

    def release(self, model: str, tokens: Sequence[int], cache: SequenceCache) -> None:
        """Return the memory of a finished sequence and keep its cache for reuse."""
        self.in_use -= cache.capacity
        if cache.length >= MIN_PREFIX:
            try:
                cache.trim()
            except RuntimeError:  # out of memory: torch has no narrower error on all devices
                return
            self.entries.append(Entry(model, list(tokens[: cache.length]), cache))

    def discard(self, cache: SequenceCache) -> None:
        """Return the memory of a sequence without keeping its cache."""
        self.in_use -= cache.capacity

    def evict(self, model: str | None = None) -> None:
        """Drop the caches of finished sequences: all, or those of one model."""
        self.entries = [entry for entry in self.entries if model is not None and entry.model != model]

    def _longest_prefix(self, model: str, prompt: Sequence[int]) -> tuple[Entry | None, int]:
        best: tuple[Entry | None, int] = (None, 0)
        for entry in self.entries:
            if entry.model == model:
                length = min(common_prefix(entry.tokens, prompt), len(prompt) - 1)  # at least one token has to be computed
                if length >= max(MIN_PREFIX, best[1]):
                    best = (entry, length)
        return best


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the number of equal tokens at the beginning."""
    for position, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return position
    return min(len(one), len(other))
