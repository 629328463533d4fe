"""What the conformance kit tries where options must be given."""

from __future__ import annotations

from swift_testing.kit import Example

EXAMPLES = {"sglang": Example(options={"max_lora_rank": 16})}  # adapters that come while it runs need room
