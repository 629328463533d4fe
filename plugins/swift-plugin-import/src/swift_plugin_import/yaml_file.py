"""Write a translation as a YAML file: each line has the key that it came from as a comment, and what was left out stands at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from swift_plugin_import.translation import Setting, Translation, Unused

_FIRST = ("model", "adapter", "dataset", "val_dataset", "output")
_COLUMN = 48  # of the comments


def text(translation: Translation, source: str) -> str:
    """Return the YAML file of a translation."""
    origin = f" from {source}" if source else ""
    lines = [f"# Imported{origin} ({translation.tool}).", f"run: {translation.verb}"]
    lines += _block(_tree(translation), 0)
    lines += _list("Not possible here", translation.impossible)
    lines += _list("Needs no effect here", translation.dropped)
    lines += [f"# Note: {note}" for note in map(_one_line, translation.notes)]
    return "\n".join(lines) + "\n"


def _tree(translation: Translation) -> dict[str, Any]:
    """Return the settings nested by part, with the name of each part first."""
    found: dict[str, Any] = {}
    for path, setting in sorted(translation.settings.items(), key=lambda item: not item[0].endswith(".name")):
        node = found
        *parents, last = path.split(".")
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = setting
    first = [name for name in _FIRST if name in found]
    return {name: found[name] for name in dict.fromkeys([*first, *(path.partition(".")[0] for path in translation.settings)])}


def _block(tree: dict[str, Any], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for name, value in tree.items():
        if isinstance(value, Setting):
            yield from _setting(indent, name, value)
        elif list(value) == ["name"] and isinstance(value["name"], Setting):
            yield from _setting(indent, name, value["name"])
        else:
            yield f"{indent}{name}:"
            yield from _block(value, depth + 1)


def _setting(indent: str, name: str, setting: Setting) -> Iterator[str]:
    comment = f"# {_one_line(setting.origin)}"
    value = setting.value
    if isinstance(value, list) and value and any(isinstance(item, dict) for item in value):
        yield f"{_padded(f'{indent}{name}:')}{comment}"
        yield from (f"{indent}  - {_flow(item)}" for item in value)
    else:
        yield f"{_padded(f'{indent}{name}: {_flow(value)}')}{comment}"


def _padded(line: str) -> str:
    return f"{line:<{_COLUMN}}" if len(line) < _COLUMN else f"{line}  "


def _flow(value: Any) -> str:
    """Return a value in one line."""
    dumped: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=1_000_000, sort_keys=False)
    return dumped.removesuffix("...\n").strip()


def _list(title: str, items: Iterable[Unused]) -> list[str]:
    found = [f"#   {_one_line(str(item))}" for item in items]
    return [f"# {title}:", *found] if found else []


def _one_line(value: str) -> str:
    return " ".join(value.split())
