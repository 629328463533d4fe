"""Suggestions for command lines that can't be parsed: the flag that was meant, or the corrected command line.

Only the selected parts have flags, so `--tensor-parallel-size` is unknown unless `--parallel mesh` is given. In other tools every flag
exists at any time, so the suggestion names the part that the flag belongs to.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection
from pathlib import Path

from swift_core.contract import FormatSpec, Spec, SwiftError, VerbSpec, suggestion
from swift_core.options import fields
from swift_core.options.flags import Flags
from swift_core.options.settings import dashed
from swift_core.plugins import Entry, Registry, recognised

_GLOBAL = {"plugin": "FILE.py", "trace": ""}  # options of `swift` itself, with their metavariables
_MAX_NAMES = 4  # maximum number of implementations to list
_ROWS = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".txt", ".jsonl.gz")


def unknown_flag(flag: str, verb: VerbSpec, known: Flags, registry: Registry) -> str:
    """Suggest what the user may have meant by `flag` (with its dashes); '' if no flag is similar."""
    name = dashed(flag.lstrip("-"))
    if name in _GLOBAL:
        return f"Put it before the command: swift --{name} {_GLOBAL[name]} {verb.name} …".replace("  ", " ")
    if reason := verb.unsupported.get(name.replace("-", "_")):
        return reason
    if owners := _owners(name, verb, registry):
        shown = (
            f"--{path}, with --{part} {', '.join(names[:_MAX_NAMES])}{', …' * (len(names) > _MAX_NAMES)}"
            for (part, path), names in owners.items()
        )
        return f"Available as {'; or '.join(shown)}."
    return suggestion(name, {*known.flags, *known.aliases}).replace("'", "--", 1).replace("'", "")


def extra_argument(word: str, command: str, first: str, *, verb: VerbSpec, known: Flags, registry: Registry) -> str:
    """Suggest the corrected command line for an unexpected positional argument: `--dataset rows.jsonl` for `rows.jsonl`.

    Args:
        word: the unexpected argument.
        command: the full command name, such as `swift infer`.
        first: the positional argument that the command accepted; '' if none.
        verb: the verb.
        known: the flags of the command line.
        registry: the installed plugins.
    """
    flag = next((name for name in _flags_for(word, verb, registry) if name in known.flags), "")
    if flag == "model" and first:
        return two_models(first, word, command, known.flags)
    if not flag:
        return f"{command} takes one positional argument; pass everything else as an option: see {command} --help."
    return f"Write: {' '.join(filter(None, (command, shlex.quote(first) if first else '')))} --{flag} {shlex.quote(word)}"


def two_models(first: str, second: str, command: str, flags: Collection[str]) -> str:
    """Suggest the corrected command line if two checkpoints were given and one is expected."""
    for adapter, base in ((first, second), (second, first)):
        found = _format(Path(adapter))
        if "adapter" in flags and found and found.adapter:
            return f"Write: {command} --model {shlex.quote(base)} --adapter {shlex.quote(adapter)}"
    return "Give one of them."


def _flags_for(word: str, verb: VerbSpec, registry: Registry) -> list[str]:
    """Return the flags that take such a value: a checkpoint, the name of an implementation, or a data set."""
    if found := _format(Path(word)):
        return ["adapter" if found.adapter else "model"]
    parts = [part for part in verb.parts if any(word in (spec.name, *spec.also) for spec in registry.all(part))]
    rows = word.endswith(_ROWS) or any(word.partition("#")[0] == spec.name for spec in registry.all("dataset"))
    return [*(dashed(verb.flags.get(part, part)) for part in parts), *(["dataset"] if rows else [])]


def _format(folder: Path) -> FormatSpec | None:
    return recognised([path.name for path in folder.iterdir()]) if folder.is_dir() else None


def _owners(name: str, verb: VerbSpec, registry: Registry) -> dict[tuple[str, str], list[str]]:
    """Map (part, option path) to the implementations that have this option."""
    found: dict[tuple[str, str], list[str]] = {}
    for part in verb.parts:
        for entry in () if part in verb.fixed else registry.entries(part):
            for field in _fields(entry):
                path = dashed(field.path if part == verb.main else f"{part}.{field.path}")
                if name in {path, dashed(field.path), *map(dashed, field.also)}:
                    found.setdefault((verb.flags.get(part, part), path), []).append(entry.spec.name)
    return found


def _fields(entry: Entry[Spec]) -> list[fields.Field]:
    try:
        return fields.fields(entry.spec.options)
    except SwiftError:  # a plugin whose options can't be read is reported when it is selected
        return []
