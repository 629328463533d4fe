"""Options for the conformance kit, whose tiny model has two blocks."""

from __future__ import annotations

from swift_testing.kit import Example

EXAMPLES = {"llamapro": Example(options={"new_blocks": 2})}
