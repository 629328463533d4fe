"""Options for the conformance kit; the exporter reads GGUF files, so the checks on the tiny safetensors model are skipped."""

from __future__ import annotations

from swift_testing.kit import Example

EXAMPLES = {"gguf-k": Example(options={"threads": 1})}
