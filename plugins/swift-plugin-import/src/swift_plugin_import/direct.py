"""Translate the settings of a run whose YAML file is another tool's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from swift_core.contract import Settings, UsageError, VerbSpec
from swift_core.options import fields, read_yaml
from swift_plugin_import.importer import Importer, importers
from swift_plugin_import.source import Source
from swift_plugin_import.translation import Translation
from swift_plugin_import.vocabulary import Vocabulary, nested


def translate(verb: VerbSpec, settings: Settings) -> list[str]:
    """Replace the settings of the file by their translation, and return notes; flags stay as they are.

    A file is another tool's if it has keys that are no options of the verb, and that are typical of a tool.

    Raises:
        UsageError: the file is for another verb, or has keys that are not possible here.
    """
    unknown = _unknown(verb, settings)
    file = Path(next(iter(settings.lines.values())).rpartition(":")[0])
    importer = _importer(unknown) if unknown and file.is_file() else None
    if importer is None:
        return []
    found = importer.read(Source.read(file, verb.name))[0]
    if found.verb != verb.name:
        message = f"the file is for {found.verb}, not for {verb.name}"
        raise UsageError(message, code="IMPORT-009", where=str(file), hint=f"Write swift {found.verb} {file}.")
    if found.impossible:
        listed = "; ".join(map(str, found.impossible))
        hint = f"Remove them from the file, or import the rest: swift import {file} --partial -o {verb.name}.yaml."
        raise UsageError(f"not possible here: {listed}", code="IMPORT-010", where=str(file), hint=hint)
    _replace(settings, found, read_yaml(file).lines)
    count = sum(not setting.origin.startswith("default of ") for setting in found.settings.values())
    text = f"{file}: {count} options are read from the keys of {found.tool}, and {len(found.dropped)} keys have no effect"
    return [f"{text}; swift import {file} lists them", *(f"{file}: {note}" for note in found.notes)]


def _unknown(verb: VerbSpec, settings: Settings) -> dict[str, Any]:
    """Return the top-level keys that are no options of the verb and its parts."""
    known = {path.partition(".")[0] for path in Vocabulary(Translation("", verb.name)).paths()}
    known |= {*verb.parts, "run", "dataset_options", "ENV", *(field.path.partition(".")[0] for field in fields.fields(verb.options))}
    return {key: value for key, value in settings.values.items() if str(key).replace("-", "_") not in known}


def _importer(unknown: dict[str, Any]) -> Importer | None:
    """Return the importer for which most of these keys are typical."""
    source = Source(yaml.safe_dump(unknown))
    scores = {importer: importer.probe(source) for importer in importers().values()}
    best = max(scores, key=lambda importer: scores[importer])
    return best if scores[best] >= 1 else None


def _replace(settings: Settings, found: Translation, places: dict[str, str]) -> None:
    flags = {path: settings.given(path) for path in settings.flags}
    settings.values.clear()
    settings.values.update(nested(found))
    settings.lines.clear()
    for path, setting in found.settings.items():
        origin = re.split(r"[,:. ]", setting.origin)[0]
        settings.lines[path] = places.get(origin, next(iter(places.values())))
    for path, value in flags.items():
        settings.set(path, value)
