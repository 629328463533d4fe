"""What every JSON body has to be before anything looks at its fields: text that can be encoded, finite numbers, bounded nesting.

Python's parser takes more than JSON has (lone surrogates, NaN, infinities); tokenizers, templates and encoders then fail in their own ways.
"""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from swift_http.errors import ApiError

DEPTH = 100  # objects and lists in each other


class Body(BaseModel):
    """A request's body. A field that is not known is refused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _sound(cls, data: Any) -> Any:
        check_sound(data)
        return data


def check_sound(data: Any) -> None:
    """Look at every value of a parsed JSON text.

    Raises:
        ApiError: 400, with the path of the first that is no text, no number or too deep.
    """
    left: list[tuple[tuple[str | int, ...], Any]] = [((), data)]
    while left:
        path, value = left.pop()
        if len(path) > DEPTH:
            raise _refusal(path[:1], f"is nested deeper than {DEPTH} levels")
        if isinstance(value, str):
            if not _is_text(value):
                raise _refusal(path, "holds a lone surrogate (half of a character, \\ud800 to \\udfff), which is no text")
        elif isinstance(value, float):
            if not math.isfinite(value):
                raise _refusal(path, "is not a finite number")
        elif isinstance(value, dict):
            if not all(map(_is_text, value)):
                raise _refusal(path, "has a name with a lone surrogate (half of a character), which is no text")
            left += [((*path, name), item) for name, item in value.items()]
        elif isinstance(value, list):
            left += [((*path, number), item) for number, item in enumerate(value)]


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refusal(path: tuple[str | int, ...], why: str) -> ApiError:
    words = ".".join(str(part)[:50] for part in path) or "the body"
    return ApiError(400, f"{words} {why}", param=str(path[0])[:50] if path else None)
