"""Options: one pydantic class, three faces."""

from __future__ import annotations
