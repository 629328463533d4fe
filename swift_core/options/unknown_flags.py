"""Suggestions for an unknown flag: the nearest flag, or the plugin that defines it.

Only the selected parts have flags, so `--tensor-parallel-size` is unknown unless `--parallel mesh` is given. In other tools every flag
exists at any time, so the suggestion names the part that the flag belongs to.
"""

from __future__ import annotations

from swift_core.contract import Spec, SwiftError, VerbSpec, suggestion
from swift_core.options import fields
from swift_core.options.flags import Flags, dashed
from swift_core.plugins import Entry, Registry

_GLOBAL = {"plugin": "FILE.py", "trace": ""}  # options of `swift` itself, with their metavariables
_MAX_NAMES = 4  # maximum number of implementations to list


def advice(flag: str, verb: VerbSpec, known: Flags, registry: Registry) -> str:
    """Suggest what the user may have meant by `flag` (with its dashes); '' if no flag is similar."""
    name = dashed(flag.lstrip("-"))
    if name in _GLOBAL:
        return f"Put it before the command: swift --{name} {_GLOBAL[name]} {verb.name} …".replace("  ", " ")
    if owners := _owners(name, verb, registry):
        shown = (
            f"--{path}, with --{part} {', '.join(names[:_MAX_NAMES])}{', …' * (len(names) > _MAX_NAMES)}"
            for (part, path), names in owners.items()
        )
        return f"Available as {'; or '.join(shown)}."
    return suggestion(name, {*known.flags, *known.aliases}).replace("'", "--", 1).replace("'", "")


def _owners(name: str, verb: VerbSpec, registry: Registry) -> dict[tuple[str, str], list[str]]:
    """Map (part, option path) to the implementations that have this option."""
    found: dict[tuple[str, str], list[str]] = {}
    for part in verb.parts:
        for entry in () if part in verb.fixed else registry.entries(part):
            for field in _fields(entry):
                path = dashed(field.path if part == verb.main else f"{part}.{field.path}")
                if name in {path, *map(dashed, field.also)}:
                    found.setdefault((verb.flags.get(part, part), path), []).append(entry.spec.name)
    return found


def _fields(entry: Entry[Spec]) -> list[fields.Field]:
    try:
        return fields.fields(entry.spec.options)
    except SwiftError:  # a plugin whose options can't be read is reported when it is selected
        return []
