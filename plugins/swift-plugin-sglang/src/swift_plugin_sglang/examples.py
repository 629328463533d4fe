"""Options for the conformance kit."""

from __future__ import annotations

from swift_testing.kit import Example

EXAMPLES = {"sglang": Example(options={"max_lora_rank": 16})}  # loading adapters at run time requires a maximum rank
