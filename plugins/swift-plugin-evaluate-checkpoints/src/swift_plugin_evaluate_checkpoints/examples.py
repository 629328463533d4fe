"""Options for the conformance kit, on a machine without a second device."""

from __future__ import annotations

EXAMPLES = {"evaluate": {"options": {"device": "cpu", "evaluator": "own-data", "tasks": ["absent.jsonl"]}}}
