"""Recognise the format of a checkpoint folder among the formats that plugins offer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from swift_core.contract import FormatSpec, UsageError
from swift_core.plugins.registered import catalogue, registry

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def recognised(names: Collection[str]) -> FormatSpec | None:
    """Return the format of a folder that has files of these names, or None if no installed format recognises it."""
    found = [spec for spec in registry().all(FormatSpec) if all(has(names, pattern) for pattern in spec.recognised_by)]
    return max(found, key=lambda spec: spec.precedence, default=None)  # of equal ones the first: our own, then by name


def format_of(folder: Path) -> FormatSpec:
    """Return the format of a checkpoint folder.

    Raises:
        UsageError: it is not a folder, no installed format recognises it, or its weights are pickled (reading them can run code).
    """
    if not folder.is_dir():
        raise UsageError(
            "not a folder", code="PLUGIN-009", where=str(folder), hint="Name a checkpoint folder or a hub reference such as hf:org/name."
        )
    names = sorted(path.name for path in folder.iterdir())
    if found := recognised(names):
        return found
    if pickled := [name for name in names if name.endswith(_PICKLES)]:
        raise UsageError(
            f"has only pickled weights ({', '.join(pickled[:3])}), which are refused because reading them can run arbitrary code",
            code="PLUGIN-010",
            where=str(folder),
            hint="Get the model in a format that cannot run code, or convert the weights in a place where you trust their source.",
        )
    installed = [f"{spec.name} ({', '.join(spec.recognised_by)})" for spec in registry().all(FormatSpec)]
    if not installed:
        homes = sorted(set(catalogue().get("format", {}).values()))
        raise UsageError("no checkpoint format is installed", code="PLUGIN-011", where=str(folder), hint=f"pip install {' '.join(homes)}")
    hint = f"Check that this is the right folder. Installed formats: {', '.join(installed)}."
    raise UsageError("not a checkpoint in any installed format", code="PLUGIN-012", where=str(folder), hint=hint)


def has(names: Collection[str], pattern: str) -> bool:
    """Return whether one of the names matches the pattern."""
    return any(fnmatchcase(name, pattern) for name in names)


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Return whether the name matches one of the patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
