"""Speculative decoding: draft tokens that the next pass computes behind the pending one; those that the model chooses too are kept.

Each token is chosen from the model's own distribution, with the request's own random numbers, as without drafts; drafts only decide how
many tokens a pass may yield. Sources: Leviathan et al. 2023, https://arxiv.org/abs/2211.17192; for n-grams, transformers' prompt lookup
decoding (`PromptLookupCandidateGenerator`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from swift_plugin_transformers.prefix_cache import common_prefix
from swift_plugin_transformers.varlen import SequenceCache, forward

NGRAMS = (4, 3, 2)  # tokens that have to be equal, longest first


class Drafter(Protocol):
    """Drafts the continuation of one sequence."""

    def propose(self, tokens: Sequence[int], limit: int) -> list[int]:
        """Return up to `limit` tokens that may follow; `tokens` grows from call to call."""
        ...


class Speculation:
    """The drafts of one sequence. Their number adapts: twice as many after a pass that kept all, one more than were kept after others.

    Args:
        drafter: drafts the tokens.
        maximum: of drafts per pass.
    """

    def __init__(self, drafter: Drafter, maximum: int) -> None:
        self._drafter = drafter
        self._maximum = self._number = maximum

    def draft(self, tokens: Sequence[int], limit: int) -> list[int]:
        """Return up to `limit` drafts, possibly none."""
        return self._drafter.propose(tokens, min(limit, self._number))

    def observe(self, drafted: int, kept: int) -> None:
        """Adapt the number of drafts to how many of the last were kept."""
        self._number = min(self._maximum, 2 * self._number) if kept >= drafted else kept + 1


class NgramDrafter:
    """Drafts what followed the last occurrence of the sequence's last tokens in the sequence itself."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, ...], int] = {}  # n-gram -> the position behind its last occurrence
        self._length = 0  # tokens in `_seen`

    def propose(self, tokens: Sequence[int], limit: int) -> list[int]:
        """Return the tokens behind the last earlier occurrence of the longest n-gram that has one."""
        for end in range(self._length, len(tokens)):  # n-grams that end before the last token
            for size in NGRAMS:
                if end >= size:
                    self._seen[tuple(tokens[end - size : end])] = end
        self._length = len(tokens)
        for size in NGRAMS:
            if place := self._seen.get(tuple(tokens[-size:])):
                return list(tokens[place : place + limit])
        return []


class ModelDrafter:
    """Drafts the most likely tokens of a smaller model, with a key-value cache of its own.

    Args:
        model: a model that `varlen.install` was called on.
        capacity: maximum number of tokens of the sequence that it computes.
    """

    def __init__(self, model: Any, capacity: int) -> None:
        self._model = model
        self._cache = SequenceCache(capacity)
        self._computed: list[int] = []

    def propose(self, tokens: Sequence[int], limit: int) -> list[int]:
        """Return the greedy continuation by the smaller model."""
        self._cache.length = min(self._cache.length, common_prefix(self._computed, tokens), len(tokens) - 1)
        drafts: list[int] = []
        while len(drafts) < limit and len(tokens) + len(drafts) <= self._cache.capacity:
            new = [*tokens, *drafts][self._cache.length :]
            drafts.append(int(forward(self._model, [(self._cache, new)]).logits[0, -1].argmax()))
        self._computed = [*tokens, *drafts][: self._cache.length]
        return drafts
