"""Options: one pydantic class, three faces (YAML, flags, JSON Schema)."""

from __future__ import annotations

from swift_core.lazy import door

__getattr__, __dir__ = door(__name__, __file__)
