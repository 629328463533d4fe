"""Keyword arguments of the Python API → settings, by the same names as flags and YAML."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swift_core.contract import Settings, UsageError, VerbSpec, suggestion
from swift_core.options import fields, other_tools
from swift_core.options.flags import flags_for
from swift_core.options.foreign_keys import adopt
from swift_core.plugins import Registry


def settings_of(verb: VerbSpec, options: Mapping[str, Any], known: Registry) -> Settings:
    """Return the settings for keyword arguments. Other tools' names are accepted; a `Path` is accepted wherever its text is.

    Raises:
        UsageError: an unknown name, with a suggestion.
    """
    settings = Settings({key: _plain(value) for key, value in options.items() if value is not None})
    for text in adopt(settings, verb, known):
        if other_tools.NO_EFFECT in text:
            warnings.warn(text, stacklevel=2)
    for key in list(settings.values):
        flags = flags_for(verb, [], settings, known)
        if key in {*verb.parts, *(flag.path.partition(".")[0] for flag in flags.flags.values())}:
            continue
        path = _path_in_any_part(verb, key, settings, known)
        if path is None:
            near = suggestion(key, [*(flag.replace("-", "_") for flag in flags.flags), *flags.aliases])
            hint = verb.unsupported.get(key) or near or f"swift {verb.name} --help lists them."
            raise UsageError(f"there is no option '{key}' for {verb.name}", code="OPTION-004", where=key, hint=hint)
        settings.set(path, settings.values.pop(key))
    settings.flags.clear()
    return settings


def _plain(value: Any) -> Any:
    """Return the value as YAML would have it: paths as text, in lists and mappings too."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _path_in_any_part(verb: VerbSpec, key: str, settings: Settings, known: Registry) -> str | None:
    """Return the path of an option whose part was not chosen; the first implementation that has it is chosen with it."""
    for part, default in verb.parts.items():
        if part in verb.fixed or settings.values.get(part):
            continue
        first = default or verb.preferred.get(part)
        for spec in sorted(known.all(part), key=lambda spec: spec.name != first):
            for field in fields.fields(spec.options):
                if key == field.path or key in field.also:
                    settings.values[part] = {"name": spec.name}
                    return f"{part}.{field.path}"
    return None
