"""Example for the conformance checks: the small task beside this module."""

from __future__ import annotations

from pathlib import Path

from swift_testing.kit import Example

EXAMPLES = {"acme": Example(tasks=(str(Path(__file__).with_name("sums.jsonl")),))}
