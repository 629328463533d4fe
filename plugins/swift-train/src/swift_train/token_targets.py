"""Map labelled parts of a text (words, entities) to its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from swift_train.tokenise import NO_TARGET, Target

if TYPE_CHECKING:
    from numpy.typing import NDArray


class TokenTargets(NamedTuple):
    """The class of each token, (tokens,) int32, and the numbers of the parts that share all of their tokens with an earlier part."""

    classes: NDArray[np.int32]
    hidden: tuple[int, ...]


def token_places(text: str, encoding: Any) -> list[tuple[int, int]]:
    """Return the place in the text of each token of a `tokenizers` encoding, without spaces around it; an empty one of special tokens."""
    places = []
    for (start, stop), special in zip(encoding.offsets, encoding.special_tokens_mask, strict=True):
        piece = "" if special else text[start:stop]
        first = start + len(piece) - len(piece.lstrip())
        places.append((first, first + len(piece.strip())))
    return places


def token_targets(text: str, encoding: Any, parts: Sequence[Target], outside: int = NO_TARGET) -> TokenTargets:
    """Return the classes of the tokens of a text.

    A token that begins in one part and ends in another has that of the first part whose class is not `outside`.

    Args:
        text: the text.
        encoding: of it, with special tokens, which have no class.
        parts: in characters, in order and disjoint.
        outside: class of parts that are no entity.
    """
    places = token_places(text, encoding)
    classes = np.full(len(places), NO_TARGET, np.int32)
    first, before, touched, used = 0, -1, set[int](), set[int]()
    for token, (start, stop) in enumerate(places):
        while first < len(parts) and parts[first].stop <= start:
            first += 1
        own = []
        for number in range(first, len(parts)):
            if parts[number].start >= stop:
                break
            own.append(number)
        if start == stop or not own:
            continue
        touched.update(own)
        chosen = next((number for number in own if parts[number].first != outside), own[0])
        classes[token] = parts[chosen].rest if chosen == before else parts[chosen].first
        before = chosen
        used.add(chosen)
    return TokenTargets(classes, tuple(sorted(number for number in touched - used if parts[number].first != outside)))
