"""Summaries of verbs and commands, read from a plugin's source without importing it.

`swift --help` lists what is installed. Package metadata has the names, but no place for a line about each; the source has it: a verb's
`summary="…"`, and the first line of the docstring of a command's module.
"""

from __future__ import annotations

import ast
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Summary:
    """The summary of a verb or command, and its aliases; empty if they can't be read from the source."""

    text: str = ""
    also: tuple[str, ...] = ()


def of_verb(module: str, name: str) -> Summary:
    """Return the constants `summary` and `also` of the call in a module that has `name="NAME"`."""
    for node in ast.walk(_parsed(module)):
        if isinstance(node, ast.Call):
            values = {word.arg: _constant(word.value) for word in node.keywords if word.arg in ("name", "summary", "also")}
            if values.get("name") == name and isinstance(values.get("summary"), str):
                also = values.get("also")
                return Summary(str(values["summary"]), tuple(map(str, also)) if isinstance(also, tuple) else ())
    return Summary()


def of_command(module: str) -> Summary:
    """Return the first line of a module's docstring."""
    lines = (ast.get_docstring(_parsed(module)) or "").splitlines()
    return Summary(lines[0].rstrip(".") if lines else "")


def _parsed(module: str) -> ast.Module:
    with suppress(OSError, SyntaxError, ValueError, ImportError):
        if source := _source(module):
            return ast.parse(source.read_bytes())
    return ast.Module([], [])


def _source(module: str) -> Path | None:
    """Return the file of a module. Only its outermost package is looked up, which imports nothing."""
    top, *rest = module.split(".")
    spec = PathFinder.find_spec(top)
    if spec is None:
        return None
    if not rest and spec.origin:
        return Path(spec.origin)
    for folder in spec.submodule_search_locations or ():
        path = Path(folder, *rest)
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


def _constant(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None
