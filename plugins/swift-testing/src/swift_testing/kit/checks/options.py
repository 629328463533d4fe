"""Checks of options: one pydantic class is used for YAML, flags and JSON Schema, so each field must work in all three."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from swift_testing.kit.model import OPTIONS, Skip, check, require
from swift_testing.kit.subject import Subject, load


def _model(subject: Subject) -> Any:
    return load(subject.spec.options)


def _fields(model: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every field with its dotted path, including those of nested groups."""
    for name, item in model.model_fields.items():
        inner = item.annotation
        if isinstance(inner, type) and hasattr(inner, "model_fields"):
            yield from _fields(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", item


@check(OPTIONS)
def check_options_class(subject: Subject) -> None:
    """Its options derive from swift_core.options.model.Options, so unknown names are refused and not ignored."""
    from swift_core.options import Options

    model = _model(subject)
    require(isinstance(model, type) and issubclass(model, Options), f"'{subject.spec.options}' does not derive from Options")
    require(model.model_config.get("extra") == "forbid", "it accepts unknown options, so a misspelt one would be ignored")


@check(OPTIONS)
def check_options_are_described(subject: Subject) -> None:
    """Every option has a description, a sentence with a full stop, which is the help text of the flag."""
    bare = [path for path, item in _fields(_model(subject)) if not item.description]
    require(not bare, f"options without a description: {', '.join(bare)}")
    loose = [path for path, item in _fields(_model(subject)) if not item.description.rstrip(")").endswith((".", "…"))]
    require(not loose, f"descriptions that end without a full stop: {', '.join(loose)}")


@check(OPTIONS)
def check_aliases_are_unique(subject: Subject) -> None:
    """An alternative spelling of an option (`also`) is not the name of an option and stands for one option only."""
    found = list(_fields(_model(subject)))
    seen = {path: path for path, _ in found}
    for path, item in found:
        extra = item.json_schema_extra
        for spelling in extra.get("also", ()) if isinstance(extra, dict) else ():
            require(spelling not in seen, f"'{spelling}' stands for both {seen.get(spelling)} and {path}")
            seen[spelling] = path


@check(OPTIONS)
def check_defaults(subject: Subject) -> None:
    """The defaults are valid, so the part works without options."""
    model = _model(subject)
    required = [name for name, item in model.model_fields.items() if item.is_required()]
    if required:
        raise Skip(f"the options {', '.join(required)} are required")
    try:
        model()
    except ValueError as error:
        require(subject.example.options, f"the defaults are not valid: {error}")
        raise Skip("some options are required; SWIFT_EXAMPLES gives them") from None


@check(OPTIONS)
def check_options_json_round_trip(subject: Subject) -> None:
    """Options survive a round trip through JSON: workers read them from `run.json`."""
    _model(subject)
    options = subject.options()
    try:
        text = json.dumps(options.model_dump(mode="json"))
    except (TypeError, ValueError) as error:
        require(False, f"its options can't be written as JSON: {error}")
    try:
        again = type(options)(**json.loads(text))
    except ValueError as error:
        require(False, f"its options can't be read back from JSON: {error}")
    require(again == options, f"its options change in a round trip through JSON: {_differ(options, again)}")


@check(OPTIONS)
def check_options_json_schema(subject: Subject) -> None:
    """Its options have a JSON Schema, from which flags, shell completion and `swift schema` are generated."""
    model = _model(subject)
    try:
        model.model_json_schema()
    except Exception as error:
        require(False, f"no JSON Schema: {type(error).__name__}: {error}")


def _differ(one: Any, other: Any) -> str:
    names = [name for name in type(one).model_fields if getattr(one, name) != getattr(other, name)]
    return ", ".join(f"{name} was {getattr(one, name)!r} and is {getattr(other, name)!r}" for name in names)
