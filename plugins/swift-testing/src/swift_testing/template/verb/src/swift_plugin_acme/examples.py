"""Example for the conformance checks: the verb runs on the tiny model with these options."""

from __future__ import annotations

from swift_testing.kit import Example

EXAMPLES = {"acme": Example(options={"digits": 2})}
