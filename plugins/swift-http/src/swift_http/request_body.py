"""Base class of request bodies: valid Unicode, finite numbers, bounded nesting, and no unknown fields.

Python's parser accepts more than JSON allows (lone surrogates, NaN, infinities), on which tokenizers, templates and encoders fail later.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from swift_http.errors import ApiError

MAX_DEPTH = 100  # nested objects and lists


class RequestBody(BaseModel):
    """Base class of request bodies; unknown fields are rejected."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _check_json(cls, data: Any) -> Any:
        check_json(data)
        return data


def check_json(data: Any) -> None:
    """Check every value of a parsed JSON document.

    Raises:
        ApiError: 400, with the path of a value that is invalid Unicode, not a finite number, or nested too deep.
    """
    pending: list[tuple[tuple[str | int, ...], Any]] = [((), data)]
    while pending:
        path, value = pending.pop()
        if len(path) > MAX_DEPTH:
            raise _refusal(path[:1], f"is nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, str):
            if not _is_unicode(value):
                raise _refusal(path, "contains a lone surrogate (\\ud800 to \\udfff), which is not valid Unicode")
        elif isinstance(value, float):
            if not math.isfinite(value):
                raise _refusal(path, "is not a finite number")
        elif isinstance(value, dict):
            if not all(map(_is_unicode, value)):
                raise _refusal(path, "has a key with a lone surrogate, which is not valid Unicode")
            pending += [((*path, name), item) for name, item in value.items()]
        elif isinstance(value, list):
            pending += [((*path, number), item) for number, item in enumerate(value)]


def supported_fields(
    data: Any, no_effect: Mapping[str, tuple[Any, ...]], ignored: Container[str], *, why: Mapping[str, str] | None = None
) -> Any:
    """Return a request body without the fields that have no effect.

    Args:
        data: the parsed body.
        no_effect: unsupported fields, and the values with which they have no effect.
        ignored: fields that can't change the output.
        why: unsupported fields → the reason, for the message.

    Raises:
        ApiError: 400, an unsupported field has another value.
    """
    if not isinstance(data, dict):
        return data
    for name, neutral in no_effect.items():
        if name in data and data[name] not in neutral:
            reason = f"; {why[name]}" if why and name in why else ""
            raise ApiError(400, f"this server does not support '{name}' with that value{reason}", param=name)
    return {name: value for name, value in data.items() if name not in no_effect and name not in ignored}


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refusal(path: tuple[str | int, ...], why: str) -> ApiError:
    place = ".".join(str(part)[:50] for part in path) or "the body"
    return ApiError(400, f"{place} {why}", param=str(path[0])[:50] if path else None)
