"""Options with which the conformance kit tries parts that need some, or other ones with its tiny model."""

from __future__ import annotations

from swift_testing.kit import Example

EXAMPLES = {
    "freeze": Example(options={"last_blocks": 1}),
    "transformers": Example(options={"adapter_folder": ["{folder}"]}),  # the backend
}
