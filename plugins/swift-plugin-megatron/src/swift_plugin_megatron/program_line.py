"""The program `megatron`, typed after `swift`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from swift_core.contract import UsageError


def answer(name: str, words: Sequence[str]) -> UsageError | None:
    """Return an error that says what to type in place of `swift megatron …`; None for any other name."""
    if name != "megatron":
        return None
    hint = f"Type: {shlex.join([name, *words])}; or with the options of swift: swift sft --parallel megatron …"
    return UsageError("'megatron' is a program of its own, not a command of swift", code="PARALLEL-076", hint=hint)
