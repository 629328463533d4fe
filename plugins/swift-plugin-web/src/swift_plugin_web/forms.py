"""The form of a verb, from the same schema as its flags: fields in groups, and what a filled form means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from swift_core.contract import Settings, UsageError, VerbSpec
from swift_core.options import Flag, flags_for, listed, settings_of
from swift_core.plugins import registry, verb_named, verbs
from swift_plugin_web.levels import HIDDEN, basic, group_of

PAGE_VERBS: Mapping[str, str] = {
    "evaluate": "eval", "merge": "merge", "quantize": "quantize", "export": "export", "serve": "serve",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Input:
    """A field of a form."""

    path: str  # dotted path of the option
    kind: str  # text, number, integer, choice, boolean, list, json
    description: str
    default: str  # as it is shown
    choices: tuple[str, ...]
    required: bool
    value: str = ""
    part: bool = False  # it chooses an implementation, whose options are fields of the form


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a verb: what is shown at once, and the rest by group."""

    verb: VerbSpec
    basic: tuple[Input, ...]
    groups: Mapping[str, tuple[Input, ...]] = field(default_factory=dict)


def training_verbs() -> list[VerbSpec]:
    """Return the verbs that train a model on a task."""
    return [verb for verb in verbs(registry()) if "task" in verb.parts and "task" in verb.fixed]


def form_of(verb: VerbSpec, values: Mapping[str, str]) -> Form:
    """Return the form of a verb, filled with values; the parts that these choose decide its fields."""
    flags = _flags(verb, values)
    known = {name: input_of(flag, values.get(name, "")) for name, flag in flags.items()}
    first = basic(list(known))
    groups: dict[str, list[Input]] = {}
    for path, found in known.items():
        if path not in first:
            groups.setdefault(group_of(path, flags[path].section), []).append(found)
    return Form(verb, tuple(known[path] for path in first), {name: tuple(inputs) for name, inputs in groups.items()})


def input_of(flag: Flag, value: str) -> Input:
    """Return the field of an option."""
    option = flag.field
    part = flag.section == "Parts"
    choices = tuple(spec.name for spec in registry().all(flag.path)) if part else option.choices
    kinds = {"boolean": "boolean", "integer": "integer", "number": "number", "array": "list", "object": "json"}
    kind = "choice" if choices else kinds.get(option.type, "text")
    default = option.default
    shown = "" if default in (None, "", [], {}) else str(default).lower() if isinstance(default, bool) else str(default)
    description = "" if part else option.description
    return Input(flag.path, kind, description, shown, choices, option.required, value, part)


def settings_from(verb: VerbSpec, values: Mapping[str, str]) -> Settings:
    """Return the settings that a filled form means.

    Raises:
        UsageError: a value is no number or no JSON, or a field is not of this form; `where` is its path.
    """
    flags = _flags(verb, values)
    given: dict[str, Any] = {}
    for path, text in values.items():
        if text.strip():
            if path not in flags:
                raise UsageError("this form has no such field", code="WEB-003", where=path, hint="Reload the page.")
            given[path] = _value(input_of(flags[path], text), text.strip())
    parts = {path: value for path, value in given.items() if path in verb.parts}
    settings = settings_of(verb, parts, registry())
    for path, value in given.items():
        if path not in parts:
            settings.set(path, value)
            settings.flags.discard(path)
    return settings


def _flags(verb: VerbSpec, values: Mapping[str, str]) -> dict[str, Flag]:
    parts = {path: value for path, value in values.items() if path in verb.parts and value}
    config = Settings({**parts, **({"dataset": listed(values.get("dataset", "").split())} if values.get("dataset") else {})})
    found = flags_for(verb, [], config, registry()).flags.values()
    return {flag.path: flag for flag in found if not HIDDEN & {*flag.path.split(".")}}


def _value(shown: Input, text: str) -> Any:
    try:
        if shown.kind == "integer":
            return int(text)
        if shown.kind == "number":
            return float(text)
        if shown.kind == "json":
            return json.loads(text)
    except ValueError:
        wanted = {"integer": "an integer", "number": "a number", "json": "JSON"}[shown.kind]
        raise UsageError(f"must be {wanted}, not '{text[:80]}'", code="WEB-004", where=shown.path) from None
    if shown.kind == "boolean":
        return text == "true"
    if shown.kind == "list":
        return [line.strip() for line in text.splitlines() if line.strip()]
    return text


def verb_of_page(page: str, task: str = "") -> VerbSpec:
    """Return the verb of a page; of training, the one of a task."""
    if page == "train":
        names = [verb.name for verb in training_verbs()]
        return verb_named(task if task in names else "sft" if "sft" in names else names[0])
    return verb_named(PAGE_VERBS[page])
