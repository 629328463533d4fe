"""Resolve the values of `dataset:` to datasets.

A value is a name (`alpaca-en-demo#200`), a file, a folder, a pattern (`data/*.jsonl`), a hub dataset (`hf:org/set:subset`), or a mapping
with a `name` and the dataset's options: `{name: identity, model_name: …}`. Every dataset takes a `weight` and `columns`.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Container, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from swift_core.contract import DataChoice, DatasetSpec, Progress, UsageError, suggestion
from swift_core.options import Invalid, fields
from swift_core.plugins import Registry, hub_of_owner
from swift_core.system import digest, sha256
from swift_data.dataset_ids import place_of

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9]+:")
_HUB = re.compile(r"((?:[A-Za-z][A-Za-z0-9]+:)?[^:]+)(?::([^:]+))?")


def choose_dataset(
    registry: Registry, asked: Any, options: Mapping[str, Any], where: str, *, streaming: bool = False, hub: str = ""
) -> DataChoice:
    """Resolve one dataset without fetching it.

    Args:
        registry: the installed plugins.
        asked: a name, or a mapping with a `name`.
        options: dataset options from flags, by dataset name.
        where: the place of the value, for errors.
        streaming: stream the dataset, if it supports that.
        hub: the hub of a bare `org/name`, as for models; the same name on another hub may belong to someone else.

    Raises:
        UsageError: there is no such dataset or file, or the number of rows is invalid.
        Invalid: options are invalid; each with its place.
    """
    given = _given(asked, where)
    text = given.pop("name", "")
    if not isinstance(text, str) or not text:
        raise UsageError("the dataset has no name", code="DATA-002", where=where, hint="Write a name, a file, or {name: …, option: …}.")
    weight = _weight(given.pop("weight", 1.0), f"{where}.weight")
    columns = _columns(given.pop("columns", {}), f"{where}.columns")
    name, limit = _limit(text, where)
    spec, found, origin = _find(registry, name, where)
    implied: dict[str, Any] = dict(found)
    named = implied if "path" in implied else given
    place = str(named.get("path", ""))
    if spec == "hub" and place and not _SCHEME.match(place):
        scheme, place = place_of(place, hub, where)
        if scheme := scheme or hub or hub_of_owner(registry, place):
            named["path"] = f"{scheme}:{place}"
    for key in implied.keys() & given.keys():
        message = f"the {key} is given twice: '{implied[key]}' in the name, and '{given[key]}'"
        raise UsageError(message, code="DATA-003", where=f"{where}.{key}", hint="Keep one of them.")
    flags = options.get(spec.replace("_", "-"), {})
    entry = registry.entry(DatasetSpec, spec, origin=origin, where=where)
    if streaming and any(field.path == "streaming" for field in fields.fields(entry.spec.options)):
        implied = {"streaming": True, **implied}
    try:
        choice = registry.choose("dataset", spec, {**implied, **flags, **given}, origin=origin, where=where)
    except Invalid as invalid:
        bare = isinstance(asked, str) and asked == text
        raise Invalid([(_option(where, spec, path, named=bare), message) for path, message in invalid.problems]) from None
    return DataChoice(**asdict(choice), asked=text, limit=limit, columns=columns, weight=weight)


def fetch_dataset(choice: DataChoice, progress: Progress | None = None) -> DataChoice:
    """Download a dataset, and pin it by a hash over its files; a streamed dataset has no hash."""
    files = choice.build().fetch(progress)
    return replace(choice, hash=digest([[file.name, sha256(file)] for file in files]) if files else "")


def _option(where: str, spec: str, path: str, *, named: bool) -> str:
    """Return the label of a dataset option in errors: its flag, or its key in the JSON object."""
    if not where.startswith("--"):
        return f"{where}.{path}"
    return f"--dataset.{spec}.{path}".replace("_", "-") if named else f"{where} {spec}, {path}"


def _given(asked: Any, where: str) -> dict[str, Any]:
    """Return the value as a mapping; on the command line it may be the text of a JSON object."""
    if isinstance(asked, str) and asked.lstrip().startswith("{"):
        try:
            asked = json.loads(asked)
        except ValueError as error:
            hint = """Write a dataset with options as a JSON object: '{"name": "rows.jsonl", "weight": 0.5}'."""
            raise UsageError(f"not JSON: {error}", code="DATA-004", where=where, hint=hint) from None
    if not isinstance(asked, Mapping):
        return {"name": asked}
    return {str(key).replace("-", "_"): value for key, value in asked.items()}


def _weight(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise UsageError(
            f"must be a number > 0, not {value!r}",
            code="DATA-005",
            where=where,
            hint="2 uses each row twice per epoch, 0.5 half of the rows.",
        )
    return float(value)


def _columns(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) and name for pair in value.items() for name in pair):
        raise UsageError(
            "must map field names to field names", code="DATA-006", where=where, hint="{question: query} reads the field question as query."
        )
    return dict(value)


def _limit(text: str, where: str) -> tuple[str, int | None]:
    name, mark, count = text.rpartition("#")
    if not mark or _exists(text):
        return text, None
    if not name or not count.isdecimal() or int(count) < 1:
        raise UsageError(
            f"'#{count}' is not a number of rows" if name else "the dataset has no name",
            code="DATA-007",
            where=where,
            hint=f"Write {name or 'NAME'}#500 for the first 500 rows.",
        )
    return name, int(count)


def _find(registry: Registry, name: str, where: str) -> tuple[str, dict[str, str], str]:
    """Return the spec that reads `name`, the options in the name, and the plugin of the spec. An existing path takes precedence."""
    specs = registry.all(DatasetSpec)
    suffixes = {suffix for spec in specs for suffix in spec.suffixes}
    names = {known: spec for spec in specs for known in (spec.name, *spec.also)}
    if _is_file(name, suffixes):
        return _format(registry, Path(name).suffix.lower(), where, {"path": name})
    if registry.matching(DatasetSpec, name):
        return names[name].name if name in names else name, {}, ""
    head, colon, subset = name.rpartition(":")
    if colon and _is_file(head, suffixes):
        hint = f"Write {head}. For a hub dataset, start with the hub's name: hf:org/name:subset."
        raise UsageError(f"'{head}' is a local file, and files have no subsets", code="DATA-008", where=where, hint=hint)
    if colon and head in names:
        if not any(field.path == "subset" for field in fields.fields(names[head].options)):
            raise UsageError(f"'{head}' has no subsets", code="DATA-009", where=where, hint=f"Write {head}.")
        return head, {"subset": subset}, ""
    hub = _HUB.fullmatch(name)
    if hub and ("/" in name or ":" in name):
        return "hub", {"path": hub[1], **({"subset": hub[2]} if hub[2] else {})}, registry.owner("dataset", "hub")
    known = [spec.name for spec in specs if spec.name not in ("file", "hub")]
    hint = suggestion(name, [*known, *_neighbours()]) or f"Known: {', '.join(known)}. Give a file by its path, a hub dataset as org/name."
    raise UsageError(f"there is no dataset or file '{name}'", code="DATA-010", where=where, hint=hint)


def _format(registry: Registry, suffix: str, where: str, path: dict[str, str]) -> tuple[str, dict[str, str], str]:
    """Return the dataset spec that reads files with this suffix: a first-party one before others, and `file` if there is none."""
    readers = [entry for entry in registry.entries(DatasetSpec) if suffix in entry.spec.suffixes]
    if not readers:
        return "file", path, registry.owner("dataset", "file")
    if len(readers) > 1 and not readers[0].first_party:
        names = " or ".join(f"{{name: {entry.spec.name}, path: {path['path']}}}" for entry in readers)
        owners = " and ".join(entry.plugin.distribution for entry in readers)
        raise UsageError(f"two plugins read {suffix} files: {owners}", code="DATA-011", where=where, hint=f"Select one: {names}.")
    return readers[0].spec.name, path, readers[0].plugin.name


def _is_file(name: str, formats: Container[str]) -> bool:
    """Return True if the name is a path: it exists, looks like one, has the suffix of a data file, or is a pattern."""
    if _exists(name) or name.startswith((".", "/", "~", "file:")):
        return True
    if _SCHEME.match(name):
        return False
    return Path(name).suffix.lower() in formats or any(mark in name for mark in "*?[")


def _exists(name: str) -> bool:
    return os.path.exists(os.path.expanduser(name))


def _neighbours() -> list[str]:
    return [path.name for path in Path().iterdir() if not path.name.startswith(".")]
