"""Options for the conformance kit, for the datasets that have required options."""

from __future__ import annotations

from swift_testing.kit import Example

EXAMPLES = {
    "file": Example(options={"path": "rows.jsonl"}),
    "identity": Example(options={"model_name": "Moon", "model_author": "The Tides"}),
}
