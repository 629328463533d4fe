"""Loss weights of text that matches a pattern, within the supervised turns: `--mask.weights`, ms-swift's `--loss_scale`.

A weight is a factor of the turn's own one. A pattern is searched in each turn by itself (`^` is its beginning, `.` matches newlines too);
of several that match a character the last one counts. A token belongs to a match if its first character does.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from swift_train.token_weight_sets import OTHER_NAMES, SETS

if TYPE_CHECKING:
    from swift_train.tokenise import Span


def checked(value: str) -> str:
    """Return the value of the option, a name of `SETS` or a JSON object, with ms-swift's names replaced.

    Raises:
        ValueError: it is neither, a pattern is none, or a weight is negative.
    """
    name = OTHER_NAMES.get(value, value)
    if name and name not in SETS:
        _parsed(name)
    return name


def patterns(value: str) -> list[tuple[re.Pattern[str], float]]:
    """Return the patterns and weights of a checked value."""
    found = SETS.get(value) or (_parsed(value) if value else {})
    return [(re.compile(pattern, re.DOTALL), float(weight)) for pattern, weight in found.items()]


def spans(text: str, turn: Span, found: Sequence[tuple[re.Pattern[str], float]]) -> Iterator[Span]:
    """Yield the matches in a turn of a text, in characters of the text, with their weights × that of the turn."""
    for pattern, weight in found:
        for match in pattern.finditer(text[turn.start : turn.stop]):
            if match.end() > match.start():
                yield turn._replace(start=turn.start + match.start(), stop=turn.start + match.end(), weight=weight * turn.weight)


def _parsed(value: str) -> dict[str, float]:
    try:
        found = json.loads(value)
    except ValueError:
        names = ", ".join(SETS)
        raise ValueError(f"must be a set of patterns ({names}) or a JSON object, pattern → weight, not {value!r}") from None
    if not isinstance(found, dict) or not found:
        raise ValueError("must be a JSON object: pattern → weight")
    for pattern, weight in found.items():
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight) or weight < 0:
            raise ValueError(f"the weight of {pattern!r} must be a number from 0, not {weight!r}")
    return found
