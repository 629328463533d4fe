"""Options for the conformance kit: a group size that divides the tiny model's rows."""

from __future__ import annotations

from swift_testing.kit import Example

EXAMPLES = {name: Example(options={"group_size": 32}) for name in ("gptq", "awq", "w4a16")}
