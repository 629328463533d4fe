"""Target and scale-down delay of a server that scales: given, or chosen so that a recorded load makes nobody wait and nothing flap."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from swift_core.system import write_json
from swift_plugin_kubernetes.recorded_load import read_load
from swift_plugin_kubernetes.simulation import Simulated, Sizing, simulate

AUTOSCALING = "autoscaling.json"  # in the run folder
_SHARES = (0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)  # of what a replica computes at once
_LONGEST_DELAY = 3600  # seconds


@lru_cache(maxsize=8)
def chosen(path: Path, first: Sizing, *, max_wait: float, fixed_target: bool) -> tuple[Sizing, Simulated]:
    """Return the sizing of the fewest replica-hours in which no request waits longer than allowed, and no replica flaps, under a load.

    If there is none, that of the shortest wait. Targets are tried from 80 % of a replica's batch down, delays from that of `first` up.

    Args:
        path: the recorded load.
        first: the sizing to begin with; its target counts if `fixed_target`.
        max_wait: seconds that a request may wait.
        fixed_target: whether the user gave the target.

    Raises:
        UsageError: the recorded load is not valid.
    """
    rates = read_load(path)
    tried = []
    for sizing in _candidates(first, fixed_target=fixed_target):
        found = simulate(rates, sizing)
        tried.append((sizing, found))
        if found.longest_wait <= max_wait and not found.flaps:
            break
    return min(tried, key=lambda one: (one[1].longest_wait > max_wait, one[1].flaps, one[1].longest_wait, one[1].replica_hours))


def _candidates(first: Sizing, *, fixed_target: bool) -> Iterator[Sizing]:
    targets = [first.target] if fixed_target else [max(1.0, math.floor(first.capacity * share)) for share in _SHARES]
    delays = [first.delay]
    while 2 * delays[-1] <= _LONGEST_DELAY:
        delays.append(2 * delays[-1])
    for target in dict.fromkeys(targets):
        for delay in delays:
            yield replace(first, target=target, delay=delay)


def write_autoscaling(folder: Path, sizing: Sizing, course: Simulated, load: Path) -> None:
    """Write `autoscaling.json`, from which the report draws the simulation."""
    record: dict[str, Any] = {
        "load": str(load),
        "settings": {name: getattr(sizing, name) for name in sizing.__slots__},
        "longest_wait": course.longest_wait,
        "flaps": course.flaps,
        "replica_hours": course.replica_hours,
        "in_flight": _rounded(course.in_flight),
        "asked": course.asked,
        "ready": course.ready,
        "waits": _rounded(course.waits),
    }
    write_json(folder / AUTOSCALING, record)


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 3) for value in values]
