"""Command lines of other training tools, typed after `swift`: `llamafactory-cli train FILE`, `axolotl train FILE`, `trl sft …`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import PurePath

from swift_core.contract import UsageError
from swift_core.plugins import find_verb

_PROGRAMS = ("llamafactory-cli", "axolotl", "trl")


def answer(name: str, words: Sequence[str]) -> UsageError | None:
    """Return an error that says what to type in place of `swift NAME WORDS`; None if the name is not one of these programs."""
    if PurePath(name).name not in _PROGRAMS:
        return None
    file = next((word for word in words if PurePath(word).suffix in (".yaml", ".yml", ".json")), "")
    if file:
        hint = f"Type: swift import {shlex.quote(file)} -o run.yaml; then: swift run run.yaml"
    elif words and find_verb(words[0]):
        hint = f"Type: {shlex.join(['swift', *words])}"
    else:
        hint = "Write the line into a file, and convert it: swift import FILE.sh -o run.yaml; then: swift run run.yaml"
    return UsageError(f"'{name}' is another program, not a command of swift", code="IMPORT-011", hint=hint)
