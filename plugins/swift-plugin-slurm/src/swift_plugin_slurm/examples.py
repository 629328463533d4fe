"""How the conformance kit tries the launcher: at a port that is free, which the cluster of the tests shares with other tests."""

from __future__ import annotations

from swift_core.launchers import free_port
from swift_core.testing.kit import Example

EXAMPLES = {"slurm": Example(options={"port": free_port()})}
