"""The fields of an options class, read from a cache of its JSON Schema, so that help and flags need no pydantic once warm.

A cached schema is good as long as the module is found in the same place, and the source files that define the class (and its bases) are
unchanged.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from swift_core.contract import Ref
from swift_core.system import paths

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One option: its dotted path in the class, JSON type, default, description and other spellings."""

    path: str
    type: str  # "string" "integer" "number" "boolean" "array" "object"
    description: str
    default: Any
    required: bool
    choices: tuple[str, ...]
    also: tuple[str, ...]
    types: tuple[str, ...] = ()  # all of them, where the option takes several: an array or a string


def schema(ref: Ref) -> Schema:
    """Return the JSON Schema of the options class that `ref` names."""
    cached = paths.cache_dir("schemas", f"{paths.digest([str(ref), _place(ref), sys.version_info[:2]])[:24]}.json")
    try:
        data = json.loads(cached.read_text(encoding="utf-8"))
        if all(_stamp(name) == stamp for name, stamp in data["sources"].items()):
            return dict(data["schema"])
    except (OSError, ValueError, KeyError):
        pass
    made = _make(ref)
    try:
        paths.write_json(cached, made)
    except Exception:  # a cache that can't be written costs time, not the answer
        return dict(made["schema"])
    return dict(made["schema"])


def fields(ref: Ref | None) -> list[Field]:
    """Every option of the class, nested groups as dotted paths."""
    if ref is None:
        return []
    whole = schema(ref)
    return list(_walk(whole, whole, ""))


def _place(ref: Ref) -> str:
    """Return the file of the module, found without importing it; '' if it is not found (loading it reports why)."""
    try:
        found = importlib.util.find_spec(ref.module)
    except (ImportError, ValueError):
        return ""
    return str(found.origin) if found else ""


def _make(ref: Ref) -> dict[str, Any]:
    model = ref.load()
    sources = {name: _stamp(name) for name in sorted(_sources(model, set()))}
    return {"sources": sources, "schema": model.model_json_schema()}


def _sources(model: Any, seen: set[Any]) -> set[str]:
    """Return the files that define the class, its bases and its nested groups."""
    if model in seen:
        return set()
    seen.add(model)
    files = set()
    for base in model.__mro__:
        module = sys.modules.get(base.__module__)
        if module and hasattr(base, "model_fields") and getattr(module, "__file__", None):
            files.add(str(module.__file__))
    for item in model.model_fields.values():
        if isinstance(item.annotation, type) and hasattr(item.annotation, "model_fields"):
            files |= _sources(item.annotation, seen)
    return files


def _stamp(name: str) -> list[int]:
    status = os.stat(name)
    return [status.st_mtime_ns, status.st_size]


def _walk(whole: Schema, node: Schema, prefix: str) -> Iterator[Field]:
    for name, raw in node.get("properties", {}).items():
        inner = _resolve(whole, raw)
        path = f"{prefix}{name}"
        if inner.get("type") == "object" and inner.get("properties"):
            yield from _walk(whole, inner, f"{path}.")
            continue
        kinds = [_resolve(whole, kind) for kind in inner.get("anyOf", [inner])]
        groups = [kind for kind in kinds if kind.get("properties")]
        kinds = [kind for kind in kinds if kind not in groups]
        types = [kind.get("type", "string") for kind in kinds if kind.get("type") != "null"]
        choices = next((kind["enum"] for kind in kinds if "enum" in kind), [kind["const"] for kind in kinds if "const" in kind])
        yield Field(
            path=path,
            type="array" if "array" in types else types[0] if types else "string",
            description=raw.get("description") or inner.get("description", ""),
            default=raw.get("default", inner.get("default")),
            required=name in node.get("required", ()),
            choices=tuple(str(choice) for choice in choices),
            also=tuple(raw.get("also", ())),
            types=tuple(types),
        )
        for group in groups:  # a name, or a name with options of its own: --resume FOLDER --resume.allow-change
            yield from (field for field in _walk(whole, group, f"{path}.") if field.path != f"{path}.name")


def _resolve(whole: Schema, node: Schema) -> Schema:
    while True:
        if "$ref" in node:
            target = whole["$defs"][node["$ref"].rsplit("/", 1)[1]]
        elif len(node.get("allOf", ())) == 1:
            target = node["allOf"][0]
        else:
            return node
        node = {**target, **{key: value for key, value in node.items() if key not in ("$ref", "allOf")}}
