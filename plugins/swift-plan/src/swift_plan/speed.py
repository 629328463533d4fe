"""The speed of this machine's CPU: a measurement of one second, kept in the cache."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial

from swift_core.system import cache_dir, write_json

_FILE = "speed.json"
_SIDE = 1024  # of the matrices that are multiplied
_BYTES = 1 << 27  # of the tensor that is copied


def measured() -> dict[str, float]:
    """Return what `measure` has found on this machine: operations per second by dtype, and `bandwidth`; empty if it has not been run."""
    try:
        return dict(json.loads((cache_dir("plan") / _FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def measure(seconds: float = 1.0) -> dict[str, float]:
    """Measure matrix products in float32 and bfloat16, and copies in memory, within about `seconds`; keep and return the result."""
    import torch

    share, found = seconds / 3, dict[str, float]()
    for dtype in (torch.float32, torch.bfloat16):
        left = torch.ones(_SIDE, _SIDE, dtype=dtype)
        found[str(dtype).removeprefix("torch.")] = 2 * _SIDE**3 / _best(partial(torch.matmul, left, left), share)
    source, target = torch.ones(_BYTES // 4), torch.empty(_BYTES // 4)
    found["bandwidth"] = 2 * _BYTES / _best(lambda: target.copy_(source), share)
    write_json(cache_dir("plan") / _FILE, found)
    return found


def _best(work: Callable[[], object], seconds: float) -> float:
    """Return the shortest time of several calls, in seconds, the first of which warms up."""
    work()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best
