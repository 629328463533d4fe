"""How the conformance kit tries the strategy that needs a file."""

from __future__ import annotations

from swift_core.testing.kit import Example

EXAMPLES = {"deepspeed": Example(options={"config": {"zero_optimization": {"stage": 2}}})}
