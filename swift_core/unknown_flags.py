"""What to say of a flag that there is not: the one that was meant, or what it is an option of.

Only what is chosen has flags, so `--tensor-parallel-size` is unknown until `--parallel mesh` is there. Other tools have all their
flags at any time, and their users deserve to be told.
"""

from __future__ import annotations

from swift_core import schemas
from swift_core.errors import SwiftError, suggestion
from swift_core.flags import Flags, dashed
from swift_core.registry import Entry, Registry
from swift_core.verbs import Verb

_BEFORE = {"plugin": "FILE.py", "trace": ""}  # options of `swift` itself
_MOST = 4  # implementations to name


def advice(flag: str, verb: Verb, known: Flags, registry: Registry) -> str:
    """What the user may have meant by `flag` (with its dashes); empty where nothing is near."""
    name = dashed(flag.lstrip("-"))
    if name in _BEFORE:
        return f"It stands before the command: swift --{name} {_BEFORE[name]} {verb.name} …".replace("  ", " ")
    if owners := _owners(name, verb, registry):
        shown = (f"--{path} of --{part} {', '.join(names[:_MOST])}{', …' * (len(names) > _MOST)}" for (part, path), names in owners.items())
        return f"It is {'; or '.join(shown)}."
    return suggestion(name, {*known.flags, *known.aliases}).replace("'", "--", 1).replace("'", "")


def _owners(name: str, verb: Verb, registry: Registry) -> dict[tuple[str, str], list[str]]:
    """The implementations that have such an option, by their part and what it is called there."""
    found: dict[tuple[str, str], list[str]] = {}
    for part in verb.parts:
        for entry in () if part in verb.fixed else registry.entries(part):
            for field in _fields(entry):
                path = dashed(field.path if part == verb.main else f"{part}.{field.path}")
                if name in {path, *map(dashed, field.also)}:
                    found.setdefault((verb.flags.get(part, part), path), []).append(entry.spec.name)
    return found


def _fields(entry: Entry) -> list[schemas.Field]:
    try:
        return schemas.fields(entry.spec.options)
    except SwiftError:  # a plugin whose options can't be read is named where it is asked for
        return []
