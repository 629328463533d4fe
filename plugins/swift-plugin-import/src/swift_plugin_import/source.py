"""A foreign file as read: a mapping (YAML, JSON), Python code (a script or a notebook), or the command lines of a shell script."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from swift_core.contract import UsageError
from swift_plugin_import.shell import Command, commands

_MAXIMUM = 5_000_000  # bytes


class Source:
    """The text of a file in the forms that it can be read as."""

    def __init__(self, text: str, name: str = "", folder: Path | None = None, verb: str = "") -> None:
        self.text, self.name, self.folder, self.verb = text, name, folder or Path(), verb

    @classmethod
    def read(cls, path: Path, verb: str = "") -> Source:
        """Read a file; `verb` is the one that it was given to, if any.

        Raises:
            UsageError: it is missing, not a text, or too large for a configuration.
        """
        try:
            if path.stat().st_size > _MAXIMUM:
                raise UsageError(
                    "is too large for a configuration file", code="IMPORT-001", where=str(path), hint="Give the configuration file."
                )
            return cls(path.read_text(encoding="utf-8-sig"), str(path), path.parent, verb)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UsageError(f"can't be read: {reason}", code="IMPORT-002", where=str(path), hint="Check the path.") from None

    @cached_property
    def values(self) -> Mapping[str, Any] | None:
        """The top-level mapping of a JSON or YAML file; None for any other text."""
        try:
            found = json.loads(self.text)
        except ValueError:
            try:
                found = yaml.safe_load(self.text)
            except (yaml.YAMLError, ValueError):
                return None
        return {str(key): value for key, value in found.items()} if isinstance(found, dict) else None

    @cached_property
    def python(self) -> ast.Module | None:
        """The code of a Python script or of a notebook's cells; None for any other text."""
        text = self.text
        if self.values is not None:
            cells = self.values.get("cells")
            if not isinstance(cells, list):
                return None
            text = "\n".join(_code(cell) for cell in cells if isinstance(cell, dict) and cell.get("cell_type") == "code")
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError):
            return None

    @cached_property
    def commands(self) -> list[Command]:
        """The command lines of a shell script; none if the text is YAML, JSON or Python."""
        return [] if self.values is not None or (self.python is not None and "import " in self.text) else commands(self.text)

    def file(self, name: Any) -> Path | None:
        """Return a file that this one names, relative to its folder or to the current one; None if there is none."""
        places = [Path(str(name)).expanduser(), self.folder / str(name)] if isinstance(name, str) and name else []
        return next((place for place in places if place.is_file()), None)


def _code(cell: Mapping[str, Any]) -> str:
    """Return the code of a notebook's cell, with the lines that are not Python (`%pip …`, `!pip …`) replaced."""
    lines = "".join(cell.get("source", ())).splitlines()
    if lines and lines[0].startswith("%%"):
        return ""
    return "\n".join(line[: len(line) - len(line.lstrip())] + "pass" if line.lstrip().startswith(("%", "!")) else line for line in lines)
