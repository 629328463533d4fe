"""What the conformance kit tries where options must be given, or the tiny model needs others."""

from __future__ import annotations

from swift_testing.kit import Example

EXAMPLES = {
    "freeze": Example(options={"last_blocks": 1}),
    "transformers": Example(options={"adapter_folder": ["{folder}"]}),  # the backend
}
