"""Names that several roles share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

ISOLATABLE = frozenset({"hub", "quantizer", "exporter", "backend", "evaluator", "launcher"})

Progress = Callable[[str, int, int | None], None]  # (what, bytes done, bytes in all or None)
Select = Callable[[Sequence[str]], Sequence[str]]  # (names of the files in a repository) -> the names of those to download
