"""Validation of options that are regular expressions."""

from __future__ import annotations

import re


def check_regular_expression(value: str) -> str:
    """Return a regular expression that compiles, for `pydantic.field_validator`. Raises ValueError."""
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from None
    return value
