"""Options: one pydantic class, three faces (YAML, flags, JSON Schema).

This module imports pydantic, so nothing imports it at start-up: option classes live in modules of their own behind a Ref.

    class LoraOptions(Options):
        rank: int = option(8, "Rank of the update.", gt=0, also=("lora_rank",))
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from swift_core.contract import UsageError, suggestion
from swift_core.options.settings import listed

Several = Annotated[list[Any], BeforeValidator(listed)]  # of which a lone one needs no list

_NAMES = re.compile(r"[\w./@-]+(\s*,\s*[\w./@-]+)+")


def names(value: Any) -> Any:
    """Names as a list, from a list, a lone one, or `a,b`, as other tools have them; a comma in anything but plain names stays."""
    if not isinstance(value, str | list | tuple):
        return value
    pieces = [re.split(r"\s*,\s*", item) if isinstance(item, str) and _NAMES.fullmatch(item.strip()) else [item] for item in listed(value)]
    return [piece.strip() if isinstance(piece, str) else piece for several in pieces for piece in several]


Names = Annotated[list[str], BeforeValidator(names)]
"""Modules, layers, repositories: `[a, b]`, `a`, or `a,b`."""


class Options(BaseModel):
    """Base of every option class: frozen, unknown options are refused, `_` and `-` are equal on the command line."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    @classmethod
    def checked(cls, values: dict[str, Any]) -> Self:
        """Build the options.

        Raises:
            Invalid: with every problem; unknown names are answered with the nearest known one.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise Invalid([_render(item, cls) for item in error.errors(include_url=False)]) from None

    @classmethod
    def without_effect(cls) -> tuple[str, ...]:
        """Return the names of the options that do not affect the result."""
        extras = {name: field.json_schema_extra for name, field in cls.model_fields.items()}
        return tuple(name for name, extra in extras.items() if isinstance(extra, dict) and extra.get("affects_result") is False)

    @model_validator(mode="before")
    @classmethod
    def _read_values(cls, values: Any) -> Any:
        """Replace other tools' values (`option(values=…)`), and the text of a number where a `Literal` has the number: "8" for 8."""
        if not isinstance(values, dict):
            return values
        return {name: _read(values[name], cls.model_fields[name]) if name in cls.model_fields else values[name] for name in values}


def option(
    default: Any,
    description: str,
    *,
    also: tuple[str, ...] = (),
    values: Mapping[str, Any] | None = None,
    affects_result: bool = True,
    **constraints: Any,
) -> Any:
    """Return a described field.

    Args:
        default: the default value, or a function that makes it; `...` if the option is required.
        description: one sentence for the help.
        also: other tools' spellings of it.
        values: other tools' values → what they are here: {"flash_attn": "flash_attention_2", "-1": None}.
        affects_result: False if a run has the same result whatever the value is, or if the run records what the value stands for (the
            hash of a model): recipes, preflight checks and resuming then do not compare it.
        constraints: pydantic's: gt, ge, le, pattern, …
    """
    extra: Any = {"also": list(also), "values": dict(values or {}), "affects_result": affects_result}
    extra = {key: value for key, value in extra.items() if value not in ([], {}, True)} or None
    if callable(default):
        return Field(default_factory=default, description=description, json_schema_extra=extra, **constraints)
    return Field(default=default, description=description, json_schema_extra=extra, **constraints)


class Invalid(UsageError):
    """One or more invalid options; `problems` are (path, message) pairs with dotted paths relative to the class."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("\n".join(f"{path}: {message}" if path else message for path, message in problems), code="OPTION-005")
        self.problems = problems


def _read(value: Any, field: FieldInfo) -> Any:
    """Return a value as the field knows it, each of a list."""
    if isinstance(value, list):
        return [_read(item, field) for item in value]
    known = _numbers(field.annotation)
    if isinstance(field.json_schema_extra, dict):
        known |= field.json_schema_extra.get("values", {})  # type: ignore[arg-type]
    return known.get(str(value), value) if isinstance(value, str | int) else value


def _numbers(annotation: Any) -> dict[str, Any]:
    """The numbers that a Literal, or a union with one, allows, by what a command line has for them."""
    if get_origin(annotation) is Literal:
        return {str(choice): choice for choice in get_args(annotation) if type(choice) is int}
    return {text: choice for part in get_args(annotation) for text, choice in _numbers(part).items()}


def _render(error: ErrorDetails, model: type[Options]) -> tuple[str, str]:
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        owner = _owner(model, error["loc"][:-1])
        near = suggestion(str(error["loc"][-1]), owner.model_fields) if owner else ""
        known = ", ".join(owner.model_fields) if owner else ""
        return path, f"there is no such option. {near or f'Known: {known}.'}"
    about = _description(model, error["loc"])
    if error["type"] == "missing":
        return path, f"is required. {about}".strip()
    if error["type"] == "string_pattern_mismatch" and about:
        return path, f"can't be {error.get('input')!r}. {about}"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    given = error.get("input")
    shown = f", not {given!r}" if isinstance(given, str | int | float | bool) and error["type"] != "value_error" else ""
    return path, f"must be {message}{shown}" if error["msg"].startswith("Input should be") else f"{message}{shown}"


def _description(model: type[Options], path: tuple[int | str, ...]) -> str:
    owner = _owner(model, path[:-1])
    field = owner.model_fields.get(str(path[-1])) if owner and path else None
    return (field and field.description) or ""


def _owner(model: type[Options], path: tuple[int | str, ...]) -> type[Options] | None:
    for name in path:
        field = model.model_fields.get(str(name))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, Options)):
            return None
        model = inner
    return model
