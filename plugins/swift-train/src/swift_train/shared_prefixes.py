"""Shared prefixes: tokens with which several sequences of a micro-batch begin are in it once, as in a tree (prefix sharing).

The answers to a prompt, a chosen and a rejected one, and the turns of one conversation begin alike. In a causal model the states of a
token depend on the tokens before it alone, so those of a common beginning are the same in every sequence: a pass computes them once, and
every continuation attends to them. Losses and gradients are those of separate sequences but for rounding. Only tokens that have no scored
output are shared, so that each output belongs to one sequence.

    prompt a, prompt b, prompt c   →   prompt, a, b, c      each of a, b, c attends to the prompt and to itself
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from swift_train.samples import Sample

_WORTH = 16  # tokens from which a common beginning is computed once: less gains nothing over one more segment


class Segment(NamedTuple):
    """A part of a sequence that is in a micro-batch once."""

    sequence: int  # one of those that contain it
    begin: int  # its tokens there
    end: int
    before: tuple[int, ...] = ()  # numbers of the segments that it continues, from the beginning of the sequence


class SharedPrefixes(NamedTuple):
    """The segments of a micro-batch, in the order of their tokens: their lengths, and for each the segments that it continues."""

    lengths: tuple[int, ...]
    before: tuple[tuple[int, ...], ...]

    @property
    def longest(self) -> int:
        """Tokens of the longest row."""
        return max(length + sum(self.lengths[each] for each in before) for length, before in zip(self.lengths, self.before, strict=True))

    @classmethod
    def whole(cls, lengths: Sequence[int]) -> SharedPrefixes:
        """Return those of rows that share nothing."""
        return cls(tuple(lengths), ((),) * len(lengths))

    def key_slices(self) -> Iterator[tuple[slice, list[slice]]]:
        """Yield the places of each segment's tokens in the micro-batch, and of all tokens that they attend to."""
        places = [slice(end - length, end) for length, end in zip(self.lengths, accumulate(self.lengths), strict=True)]
        for place, before in zip(places, self.before, strict=True):
            yield place, [*(places[number] for number in before), place]

    def sequences(self) -> list[list[slice]]:
        """Return the places of each sequence's tokens in the micro-batch, in the order of the sequences."""
        continued = {number for before in self.before for number in before}
        return [slices for number, (_, slices) in enumerate(self.key_slices()) if number not in continued]

    @classmethod
    def of(cls, segments: Sequence[Segment]) -> SharedPrefixes:
        """Return those of segments."""
        return cls(tuple(each.end - each.begin for each in segments), tuple(each.before for each in segments))


def segments_of(parts: Sequence[Sample]) -> list[Segment]:
    """Return the segments of sequences, of which neighbours may begin alike; as many as there are sequences if nothing is shared."""
    found: list[Segment] = []
    common = [0, *(shared_tokens(one, other) for one, other in pairwise(parts))]

    def add(first: int, stop: int, depth: int, before: tuple[int, ...]) -> None:
        """Add the segments of the sequences from `first` to `stop`, whose first `depth` tokens are those of the segments `before`."""
        while first < stop:
            end = first + 1
            while end < stop and common[end] >= depth + _WORTH:
                end += 1
            if end == first + 1:
                found.append(Segment(first, depth, len(parts[first].ids), before))
            else:
                shared = min(common[first + 1 : end])
                found.append(Segment(first, depth, shared, before))
                add(first, end, shared, (*before, len(found) - 1))
            first = end

    add(0, len(parts), 0, ())
    return found


def shared_tokens(one: Sample, other: Sample) -> int:
    """Return how many tokens two sequences have in common before the first scored output of either; 0 if that is not worth a segment."""
    limit = min(_unscored(one), _unscored(other))
    different = np.flatnonzero(one.ids[:limit] != other.ids[:limit])
    count = int(different[0]) if len(different) else limit
    return count if count >= _WORTH else 0


def _unscored(part: Sample) -> int:
    """Return the number of tokens before the first scored output, that of the token before the first supervised one."""
    supervised: NDArray[np.int64] = np.flatnonzero(part.weights)
    return max(0, int(supervised[0]) - 1 if len(supervised) else len(part.ids) - 1)
