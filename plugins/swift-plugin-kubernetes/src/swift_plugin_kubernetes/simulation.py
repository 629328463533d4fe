"""A simulation of the autoscaler: how many replicas a HorizontalPodAutoscaler asks for under a recorded load, and how long requests wait.

Requests are a fluid: a replica that is ready computes up to `capacity` of them at once, each in `seconds`. The autoscaler is that of
Kubernetes ("Horizontal Pod Autoscaling", algorithm details): every 15 seconds it asks for ceil(load / target) replicas, with a tolerance of
10 %, at most doubling them or adding four; it removes replicas down to the greatest number that it has wanted within the scale-down delay.
The load that it sees is as old as the scrape and the query. A new replica serves after the cold start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_SYNC = 15  # seconds between two decisions (--horizontal-pod-autoscaler-sync-period)
_TOLERANCE = 0.1  # --horizontal-pod-autoscaler-tolerance
_ADDED = 4  # pods that may be added in one period, if that is more than doubling them (default scaling policy)
_AGE = 10  # seconds: scrape interval, and KEDA's own query


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """Settings that decide the number of replicas, and the speed of one of them."""

    target: float  # requests in flight per replica to aim at
    min_replicas: int
    max_replicas: int
    delay: int  # seconds of lower load before replicas are removed
    cold_start: float  # seconds until a new replica serves
    capacity: int  # requests that a replica computes at once
    seconds: float  # that a request takes


@dataclass(frozen=True, slots=True)
class Simulated:
    """The course of a simulation, a value for each second."""

    in_flight: list[float]  # requests, running and waiting
    asked: list[int]  # replicas that the autoscaler wants
    ready: list[int]  # replicas that serve
    waits: list[float]  # seconds until a request that arrives now is begun
    flaps: int  # times that replicas were removed, and asked for again within the scale-down delay

    @property
    def longest_wait(self) -> float:
        """The longest wait of a request, in seconds."""
        return max(self.waits)

    @property
    def replica_hours(self) -> float:
        """The cost of the replicas, in hours of one replica."""
        return sum(self.asked) / 3600


def simulate(rates: Sequence[float], sizing: Sizing) -> Simulated:
    """Return what happens under a load, given as requests per second in each second. Zero replicas are woken as one is asked for."""
    asked = max(1, sizing.min_replicas)
    starting: list[float] = []  # times at which further replicas are ready
    wanted: list[tuple[int, int]] = []  # (time, replicas) of earlier decisions within the scale-down delay
    load = 0.0
    course = Simulated([], [], [], [], 0)
    flaps, removed_at = 0, -math.inf
    for now, rate in enumerate(rates):
        if now % _SYNC == 0:
            before = asked
            wanted = [(time, count) for time, count in wanted if now - time < sizing.delay]
            asked, want = _decide(course.in_flight[now - _AGE] if now >= _AGE else 0.0, asked, wanted, sizing)
            wanted.append((now, want))
            if asked > before:
                flaps += now - removed_at < sizing.delay
                starting += [now + sizing.cold_start] * (asked - before)
            elif asked < before:
                removed_at = now
                starting = sorted(starting)[: max(0, len(starting) - (before - asked))]  # those that have not started go first
        ready = asked - sum(time > now for time in starting)
        starting = [time for time in starting if time > now]
        served = min(load, ready * sizing.capacity) / sizing.seconds
        load = max(0.0, load + rate - served)
        waiting, speed = max(0.0, load - ready * sizing.capacity), ready * sizing.capacity / sizing.seconds
        course.in_flight.append(load)
        course.asked.append(asked)
        course.ready.append(ready)
        course.waits.append(waiting / speed if speed else (sizing.cold_start if waiting else 0.0))
    return Simulated(course.in_flight, course.asked, course.ready, course.waits, flaps)


def _decide(load: float, asked: int, wanted: Sequence[tuple[int, int]], sizing: Sizing) -> tuple[int, int]:
    """Return the replicas that are asked for now, and how many the load alone wants."""
    want = asked
    if asked == 0 or abs(load / (sizing.target * asked) - 1) > _TOLERANCE:
        want = math.ceil(load / sizing.target)
    want = min(max(want, sizing.min_replicas), sizing.max_replicas)
    if want > asked:
        return min(want, max(2 * asked, asked + _ADDED)), want
    return min(asked, max([want, *(count for _, count in wanted)])), want
