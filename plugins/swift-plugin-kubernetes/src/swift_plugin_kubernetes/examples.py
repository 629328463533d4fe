"""How the conformance kit tries the launcher: with any image, at a port that is free."""

from __future__ import annotations

from swift_core.launchers import free_port
from swift_core.testing.kit import Example

EXAMPLES = {"kubernetes": Example(options={"image": "registry.example.org/swift:1", "port": free_port()})}
