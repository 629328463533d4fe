"""Checks of rewards and schedulers, which a distribution offers by entry points of their own."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from swift_core.contract import SwiftError
from swift_testing.kit.model import PLUGIN, CheckFailed, Skip, check, require
from swift_testing.kit.subject import Subject


def _points(subject: Subject, group: str) -> Sequence[EntryPoint]:
    found = [point for point in entry_points(group=group) if point.dist and point.dist.name == subject.entry.distribution]
    if not found:
        raise Skip(f"it has none in {group}")
    return found


@check(PLUGIN)
def check_rewards(subject: Subject) -> None:
    """Rewards that need no options give numbers for any answers, the same ones again and in any order: a resumed run scores them anew."""
    for point in _points(subject, "swift.rewards"):
        kind = _loaded(point)
        from swift_rollouts.rewards.reward import Reward
        from swift_rollouts.testing import check_reward

        require(
            isinstance(kind, type) and issubclass(kind, Reward), f"{point.value} is no subclass of swift_rollouts.rewards.reward.Reward"
        )
        require(bool(kind.__doc__), f"{point.value} has no docstring")
        if any(item.is_required() for item in kind.model_fields.values()):
            continue
        try:
            check_reward(point.name)
        except (AssertionError, SwiftError) as error:
            if getattr(error, "code", "") not in ("RL-007", "RL-017"):  # an optional library is absent; the rows lack what it needs
                raise CheckFailed(f"the reward '{point.name}': {error}") from error


@check(PLUGIN)
def check_schedulers(subject: Subject) -> None:
    """Schedulers that need no options reply with messages, end, and reply the same to the same: a resumed run goes on as it would have."""
    for point in _points(subject, "swift.rollouts"):
        kind = _loaded(point)
        from swift_rollouts.testing import check_scheduler
        from swift_rollouts.turns.scheduler import Scheduler

        require(isinstance(kind, type) and issubclass(kind, Scheduler), f"{point.value} is no subclass of swift_rollouts' Scheduler")
        require(bool(kind.__doc__), f"{point.value} has no docstring")
        if any(item.is_required() for item in kind.model_fields.values()):
            continue
        try:
            check_scheduler(point.name)
        except (AssertionError, SwiftError) as error:
            raise CheckFailed(f"the scheduler '{point.name}': {error}") from error


def _loaded(point: EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as error:
        raise CheckFailed(f"{point.value} can't be imported: {type(error).__name__}: {error}") from error
