"""Names that several roles share."""

from __future__ import annotations

from collections.abc import Callable

ISOLATABLE = frozenset({"hub", "quantizer", "exporter", "backend", "evaluator", "launcher"})

Progress = Callable[[str, int, int | None], None]  # (what, bytes done, bytes in all or None)
