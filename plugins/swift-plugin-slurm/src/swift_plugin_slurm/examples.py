"""Options for the conformance kit: a free port, because all test nodes share this machine."""

from __future__ import annotations

from swift_testing.kit import Example

from swift_core.runs import free_port

EXAMPLES = {"slurm": Example(options={"port": free_port()})}
