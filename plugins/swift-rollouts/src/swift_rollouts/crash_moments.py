"""Moments at which tests kill a training that samples its answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from swift_rollouts.generation import FOLDER as ROLLOUTS
from swift_rollouts.policy import FOLDER as POLICIES


def sampling(run: Path) -> bool:
    """Return whether answers are being sampled."""
    return any((run / ROLLOUTS).glob("*.partial.jsonl"))


def publishing(run: Path) -> bool:
    """Return whether weights are being written for the engine."""
    return any(not path.name.startswith(("version-", "step-")) for path in (run / POLICIES).glob("*"))


MOMENTS: Mapping[str, Callable[[Path], bool]] = {"sampling": sampling, "publishing": publishing}
