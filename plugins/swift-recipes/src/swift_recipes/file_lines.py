"""A YAML file typed as a command: `swift sft.yaml`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import PurePath

from swift_core.contract import UsageError


def answer(name: str, words: Sequence[str]) -> UsageError | None:
    """Return an error that says what to type in place of `swift FILE.yaml`; None if the name is not one of a YAML file."""
    if PurePath(name).suffix not in (".yaml", ".yml"):
        return None
    return UsageError(f"'{name}' is a file, not a command", code="RECIPE-008", hint=f"Type: {shlex.join(['swift', 'run', name, *words])}")
