"""Options with which the conformance kit runs the strategy that requires a configuration."""

from __future__ import annotations

from swift_testing.kit import Example

EXAMPLES = {"deepspeed": Example(options={"config": {"zero_optimization": {"stage": 2}}})}
