"""Keyword arguments of the Python API → settings, by the same names as flags and YAML."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swift_core.contract import Settings, UsageError, VerbSpec, suggestion
from swift_core.options import fields, other_tools
from swift_core.options.flags import flags_for
from swift_core.plugins import Registry


def settings_of(verb: VerbSpec, options: Mapping[str, Any], known: Registry) -> Settings:
    """Return the settings for keyword arguments. Other tools' names are accepted; a `Path` is accepted wherever its text is.

    Raises:
        UsageError: an unknown name, with a suggestion.
    """
    options = {key: _plain(value) for key, value in options.items()}
    settings = Settings({key: value for key, value in options.items() if value is not None and (key in verb.parts or key == "dataset")})
    flags = flags_for(verb, [], settings, known)
    for key, value in options.items():
        if value is None or key in settings.values:
            continue
        name = key.replace("_", "-")
        own = name in flags.flags or name in flags.aliases
        if reason := other_tools.ignored(verb, key, value, known=own):
            warnings.warn(f"{key}={value!r} has no effect: {reason}", stacklevel=2)
            continue
        if meant := {} if own else other_tools.several(verb, key, value):
            for option, text in meant.items():
                settings.set(option, json.loads(text) if text.startswith("{") else text)
                settings.flags.discard(option)
            flags = flags_for(verb, [], settings, known)
            continue
        name = flags.aliases.get(name, name)
        group = isinstance(value, Mapping) and any(flag.path.startswith(f"{key}.") for flag in flags.flags.values())
        path = flags.flags[name].path if name in flags.flags else key if group else _path_in_any_part(verb, key, settings, known)
        if path is None:
            near = suggestion(key, [*(flag.replace("-", "_") for flag in flags.flags), *flags.aliases])
            hint = verb.unsupported.get(key) or near or f"swift {verb.name} --help lists them."
            raise UsageError(f"there is no option '{key}' for {verb.name}", code="OPTION-004", where=key, hint=hint)
        settings.set(path, value)
        settings.flags.discard(path)
        flags = flags_for(verb, [], settings, known)
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
