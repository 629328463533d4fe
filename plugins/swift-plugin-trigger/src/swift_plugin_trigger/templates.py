"""Templates of prompts and texts: Jinja, in its sandbox; a name that is not known is an error, never an empty text.

The fields of an event are values of a template and never part of one, so that an event can't run anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from swift_core.contract import UsageError


class Template:
    """A text with places for values: `{{ area }}`."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        """Compile the template once, so that a fault in it is found at the start; raises ValueError."""
        self.text = text
        try:
            _environment().from_string(text)
        except jinja2.TemplateError as error:
            raise ValueError(f"not a template: {error}") from None

    def render(self, values: Mapping[str, Any]) -> str:
        """Return the text.

        Raises:
            UsageError: a name in it is not known, or can't be used in this way.
        """
        try:
            return _environment().from_string(self.text).render(values)
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
            shown = " ".join(self.text.split())[:60]
            hint = f"Known: {', '.join(sorted(values))}."
            raise UsageError(f"the template can't be filled: {error}", code="TRIGGER-027", where=shown, hint=hint) from None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let pydantic make templates of texts."""
        return core_schema.no_info_plain_validator_function(cls._validated)

    @classmethod
    def _validated(cls, value: Any) -> Template:
        if isinstance(value, Template):
            return value
        if not isinstance(value, str):
            raise ValueError("must be a string")
        return cls(value)


def filled(value: Any, values: Mapping[str, Any]) -> Any:
    """Return a JSON value with every text in it filled as a template."""
    if isinstance(value, str):
        return Template(value).render(values) if "{{" in value or "{%" in value else value
    if isinstance(value, Mapping):
        return {key: filled(item, values) for key, item in value.items()}
    return [filled(item, values) for item in value] if isinstance(value, list) else value


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=False)
