"""Waiting for what other processes do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
HANG = 300.0  # seconds; no test depends on how fast a machine is, so this only ends one that would wait for ever


def wait_for(condition: Callable[[], T], seconds: float = HANG) -> T:
    """What `condition` gives once it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("waited in vain")
