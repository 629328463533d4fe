"""What the conformance kit tries the quantizer with: its defaults; it reads GGUF files, so the checks on the tiny model are left out."""

from __future__ import annotations

from swift_testing.kit import Example

EXAMPLES = {"gguf-k": Example(options={"threads": 1})}
