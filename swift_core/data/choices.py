"""What `dataset:` asks for → data sets.

`alpaca-en-demo#200`, `rows.jsonl`, a folder, `data/*.jsonl`, `hf:org/set:subset`, or a mapping with a `name` and, as the set has
them, options: `{name: identity, model_name: …}`. Every set takes a `weight` and `columns`.
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

from swift_core import schemas
from swift_core.errors import UsageError, suggestion
from swift_core.options import Invalid
from swift_core.paths import digest, sha256
from swift_core.registry import Registry
from swift_core.roles import Progress
from swift_core.run import DataChoice

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9]+:")
_HUB = re.compile(r"((?:[A-Za-z][A-Za-z0-9]+:)?[^:]+)(?::([^:]+))?")


def choose_dataset(
    registry: Registry, asked: Any, options: Mapping[str, Any], where: str, *, streaming: bool = False, hub: str = "hf"
) -> DataChoice:
    """One data set, not fetched yet.

    Args:
        registry: what is installed.
        asked: a name, or a mapping with one.
        options: those of the named set, from flags, by its name.
        where: how to name it in errors.
        streaming: whether sets that can stream do.
        hub: whose a bare `org/name` is, as for models: on another hub the name may be a stranger's.

    Raises:
        UsageError: no such set or file, a bad number of rows.
        Invalid: wrong options, each with where it is.
    """
    given = _given(asked, where)
    text = given.pop("name", "")
    if not isinstance(text, str) or not text:
        raise UsageError("a data set needs a name", where=where, hint="Write a name, a file, or {name: …, option: …}.")
    weight = _weight(given.pop("weight", 1.0), f"{where}.weight")
    columns = _columns(given.pop("columns", {}), f"{where}.columns")
    name, limit = _limit(text, where)
    spec, found, origin = _find(registry, name, where)
    implied: dict[str, Any] = dict(found)
    if spec == "hub" and hub != "hf" and not _SCHEME.match(implied["path"]):
        implied["path"] = f"{hub}:{implied['path']}"
    for key in implied.keys() & given.keys():
        message = f"the {key} is given twice: '{implied[key]}' in the name, and '{given[key]}'"
        raise UsageError(message, where=f"{where}.{key}", hint="Keep one of them.")
    flags = options.get(spec.replace("_", "-"), {})
    entry = registry.entry("dataset", spec, origin=origin, where=where)
    if streaming and any(field.path == "streaming" for field in schemas.fields(entry.spec.options)):
        implied = {"streaming": True, **implied}
    try:
        choice = registry.choose("dataset", spec, {**implied, **flags, **given}, origin=origin, where=where)
    except Invalid as invalid:
        named = isinstance(asked, str) and asked == text
        raise Invalid([(_option(where, spec, path, named=named), message) for path, message in invalid.problems]) from None
    return DataChoice(**asdict(choice), asked=text, limit=limit, columns=columns, weight=weight)


def fetch_dataset(choice: DataChoice, progress: Progress | None = None) -> DataChoice:
    """Bring the rows onto this machine, and pin what they are by one hash over their files; a set that is streamed has none."""
    files = choice.build().fetch(progress)
    return replace(choice, hash=digest([[file.name, sha256(file)] for file in files]) if files else "")


def _option(where: str, spec: str, path: str, *, named: bool) -> str:
    """How an error calls an option of a set: by its flag, where a flag gives the name alone; it may give an object too."""
    if not where.startswith("--"):
        return f"{where}.{path}"
    return f"--dataset.{spec}.{path}".replace("_", "-") if named else f"{where} {spec}, {path}"


def _given(asked: Any, where: str) -> dict[str, Any]:
    """What was asked as a mapping; on the command line it may be a JSON object."""
    if isinstance(asked, str) and asked.lstrip().startswith("{"):
        try:
            asked = json.loads(asked)
        except ValueError as error:
            hint = """A data set with options is a JSON object: '{"name": "rows.jsonl", "weight": 0.5}'."""
            raise UsageError(f"not JSON: {error}", where=where, hint=hint) from None
    if not isinstance(asked, Mapping):
        return {"name": asked}
    return {str(key).replace("-", "_"): value for key, value in asked.items()}


def _weight(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise UsageError(f"must be a number above 0, not {value!r}", where=where, hint="2 shows each row twice an epoch, 0.5 half of them.")
    return float(value)


def _columns(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) and name for pair in value.items() for name in pair):
        raise UsageError("must map names to names", where=where, hint="{question: query} reads the field question as query.")
    return dict(value)


def _limit(text: str, where: str) -> tuple[str, int | None]:
    name, mark, count = text.rpartition("#")
    if not mark or _exists(text):
        return text, None
    if not name or not count.isdecimal() or int(count) < 1:
        raise UsageError(
            f"'#{count}' is no number of rows" if name else "a data set needs a name",
            where=where,
            hint=f"Write {name or 'NAME'}#500 for the first 500 rows.",
        )
    return name, int(count)


def _find(registry: Registry, name: str, where: str) -> tuple[str, dict[str, str], str]:
    """The spec that reads `name`, the options that the name holds, and whose spec is meant. What exists as a path wins over all else."""
    specs = registry.all("dataset")
    suffixes = {suffix for spec in specs for suffix in spec.suffixes}
    names = {known: spec for spec in specs for known in (spec.name, *spec.also)}
    if _is_file(name, suffixes):
        return _format(registry, Path(name).suffix.lower(), where, {"path": name})
    if registry.matching("dataset", name):
        return name, {}, ""
    head, colon, subset = name.rpartition(":")
    if colon and _is_file(head, suffixes):
        hint = f"Write {head}. A data set of a hub starts with its name: hf:org/name:subset."
        raise UsageError(f"files have no subsets, and '{head}' is on this machine", where=where, hint=hint)
    if colon and head in names:
        if not any(field.path == "subset" for field in schemas.fields(names[head].options)):
            raise UsageError(f"'{head}' has no subsets", where=where, hint=f"Write {head}.")
        return head, {"subset": subset}, ""
    hub = _HUB.fullmatch(name)
    if hub and ("/" in name or ":" in name):
        return "hub", {"path": hub[1], **({"subset": hub[2]} if hub[2] else {})}, registry.owner("dataset", "hub")
    known = [spec.name for spec in specs if spec.name not in ("file", "hub")]
    hint = suggestion(name, [*known, *_neighbours()]) or f"Known: {', '.join(known)}. A file needs its path, a hub data set its org/name."
    raise UsageError(f"there is no data set or file '{name}'", where=where, hint=hint)


def _format(registry: Registry, suffix: str, where: str, path: dict[str, str]) -> tuple[str, dict[str, str], str]:
    """What reads files that end so: ours, where we do, whoever else says so too; `file` where nobody says so."""
    readers = [entry for entry in registry.entries("dataset") if suffix in entry.spec.suffixes]
    if not readers:
        return "file", path, registry.owner("dataset", "file")
    if len(readers) > 1 and not readers[0].first_party:
        names = " or ".join(f"{{name: {entry.spec.name}, path: {path['path']}}}" for entry in readers)
        owners = " and ".join(entry.plugin.distribution for entry in readers)
        raise UsageError(f"two plugins read {suffix} files: {owners}", where=where, hint=f"Say which one: {names}.")
    return readers[0].spec.name, path, readers[0].plugin.name


def _is_file(name: str, formats: Container[str]) -> bool:
    """Whether a path is meant: it exists, looks like one, ends like a data file, or is a pattern."""
    if _exists(name) or name.startswith((".", "/", "~", "file:")):
        return True
    if _SCHEME.match(name):
        return False
    return Path(name).suffix.lower() in formats or any(mark in name for mark in "*?[")


def _exists(name: str) -> bool:
    return os.path.exists(os.path.expanduser(name))


def _neighbours() -> list[str]:
    return [path.name for path in Path().iterdir() if not path.name.startswith(".")]
