"""What the conformance kit tries where options must be given."""

from __future__ import annotations

from swift_core.testing.kit import Example

EXAMPLES = {"freeze": Example(options={"last_blocks": 1})}
