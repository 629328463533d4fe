"""Options for the conformance kit: a placeholder image and a free port."""

from __future__ import annotations

from swift_testing.kit import Example

from swift_core.runs import free_port

EXAMPLES = {"kubernetes": Example(options={"image": "registry.example.org/swift:1", "port": free_port()})}
