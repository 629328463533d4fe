"""Options for the conformance kit: a group size that divides the tiny model's rows."""

from __future__ import annotations

from swift_testing.kit import Example

EXAMPLES = {"autoawq": Example(options={"group_size": 32})}
