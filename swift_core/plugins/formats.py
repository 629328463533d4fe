"""Recognise the format of a checkpoint folder among the formats that plugins offer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from swift_core.contract import FormatSpec, UsageError
from swift_core.plugins.registered import catalogue, registry

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_DOCUMENTS = ("LICEN[CS]E*", "README.md")


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
    raise _not_a_checkpoint(names, str(folder))


def checkpoint_files(names: Collection[str], *, code: bool = False) -> list[str]:
    """Return which of a repository's files to download, as the checkpoint's format decides; `code`: also its Python files.

    Raises:
        UsageError: no installed format recognises the files, all weights are pickled, or there are several checkpoints.
    """
    top = sorted(name for name in names if "/" not in name)
    spec = recognised(top)
    if spec is None:
        raise _not_a_checkpoint(top)
    chosen = (
        spec.download.load()(sorted(names)) if spec.download else [name for name in top if matches(name, (*spec.weights, *spec.others))]
    )
    if not any(matches(name.rpartition("/")[2], spec.weights) for name in chosen):
        raise _not_a_checkpoint(top)
    return sorted({*chosen, *(name for name in top if matches(name, _DOCUMENTS) or (code and name.endswith(".py")))})


def _not_a_checkpoint(names: Sequence[str], where: str = "") -> UsageError:
    """Return the error for files that are no checkpoint in an installed format."""
    if pickled := [name for name in names if name.endswith(_PICKLES)]:
        return UsageError(
            f"has only pickled weights ({', '.join(pickled[:3])}), which are refused because reading them can run arbitrary code",
            code="PLUGIN-010",
            where=where,
            hint="Get the model in a format that cannot run code, or convert the weights in a place where you trust their source.",
        )
    installed = [f"{spec.name} ({', '.join(spec.recognised_by)})" for spec in registry().all(FormatSpec)]
    if not installed:
        homes = sorted(set(catalogue().get("format", {}).values()))
        return UsageError("no checkpoint format is installed", code="PLUGIN-011", where=where, hint=f"pip install {' '.join(homes)}")
    found = f"it has {', '.join(names[:8])}{', …' if len(names) > 8 else ''}" if names else "it has no files"
    hint = f"Check that this is the right folder or repository: {found}. Installed formats: {', '.join(installed)}."
    return UsageError("not a checkpoint in any installed format", code="PLUGIN-012", where=where, hint=hint)


def has(names: Collection[str], pattern: str) -> bool:
    """Return whether one of the names matches the pattern."""
    return any(fnmatchcase(name, pattern) for name in names)


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Return whether the name matches one of the patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
