"""How the conformance kit tries the launcher: at a port that is free, which the cluster of the tests shares with other tests."""

from __future__ import annotations

from swift_testing.kit import Example

from swift_core.runs import free_port

EXAMPLES = {"slurm": Example(options={"port": free_port()})}
