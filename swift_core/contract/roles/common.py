"""Names that several roles share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

ISOLATABLE = frozenset({"hub", "quantizer", "exporter", "backend", "evaluator", "launcher"})

Event = Mapping[str, Any]
Watch = Callable[[Event], None]  # called with each event of a run, in order
Progress = Callable[[str, int, int | None], None]  # (what, bytes done, bytes in all or None)
