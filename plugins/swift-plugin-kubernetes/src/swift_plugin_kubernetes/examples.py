"""How the conformance kit tries the launcher: with any image, at a port that is free."""

from __future__ import annotations

from swift_testing.kit import Example

from swift_core.runs import free_port

EXAMPLES = {"kubernetes": Example(options={"image": "registry.example.org/swift:1", "port": free_port()})}
