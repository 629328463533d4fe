"""A task for the conformance kit."""

from __future__ import annotations

from pathlib import Path

EXAMPLES = {"own-data": {"tasks": (str(Path(__file__).parent / "rows" / "example.jsonl"),)}}
