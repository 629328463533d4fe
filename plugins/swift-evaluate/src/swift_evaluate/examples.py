"""A task for the conformance kit."""

from __future__ import annotations

from pathlib import Path

from swift_testing.kit import Example

EXAMPLES = {"rows": Example(tasks=(str(Path(__file__).parent / "rows" / "example.jsonl"),))}
