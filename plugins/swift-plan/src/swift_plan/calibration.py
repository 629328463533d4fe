"""The memory of a device beside what torch allocates: context, workspaces, fragmentation; assumed, or learned from finished runs.

A finished run has its plan (`plan.json`) and what was measured (`memory_peak` in `result.json`, and on accelerators `memory_reserved` and
`memory_context`). The overhead of a device is the median of the differences.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from swift_core.system import cache_dir, read_result, write_json
from swift_plan.record import read_plan

if TYPE_CHECKING:
    from swift_plan.devices import Device

_FILE = "overheads.json"
_ASSUMED = {"cpu": int(0.55 * 2**30)}  # an interpreter with torch and transformers: the median of tests/test_resident_memory.py
_ASSUMED_ELSEWHERE = int(1.0 * 2**30)  # a CUDA context with its libraries' workspaces, and some fragmentation; not measured


@dataclass(frozen=True, slots=True)
class Comparison:
    """A finished run: what was planned and measured, in bytes, without and with the overhead."""

    folder: Path
    device: str
    planned: int  # what torch allocates, by the plan
    measured: int  # of the whole process on a CPU; what torch reserved, and the context, elsewhere

    @property
    def overhead(self) -> int:
        """The difference, at least 0."""
        return max(0, self.measured - self.planned)


def overhead_of(device: Device) -> int:
    """Return the overhead of a device in bytes: learned, else assumed."""
    learned = _learned().get(device.name)
    return int(learned) if learned is not None else _ASSUMED.get(device.kind, _ASSUMED_ELSEWHERE)


def compare(folder: Path) -> Comparison | None:
    """Return what a finished run planned and measured; None if it has no plan or no measurement."""
    plan, result = read_plan(folder), read_result(folder)
    figures: Any = (result or {}).get("figures", {})
    peak = figures.get("memory_reserved", figures.get("memory_peak"))
    if plan is None or not isinstance(peak, int | float):
        return None
    return Comparison(folder, plan.device.name, plan.highest.total, int(peak) + int(figures.get("memory_context", 0)))


def learn(runs: Iterable[Comparison]) -> dict[str, int]:
    """Keep the median overhead of each device that ran; return them by device."""
    by_device: dict[str, list[int]] = {}
    for run in runs:
        by_device.setdefault(run.device, []).append(run.overhead)
    found = {device: int(median(values)) for device, values in by_device.items()}
    if found:
        write_json(cache_dir("plan") / _FILE, {**_learned(), **found})
    return found


def _learned() -> dict[str, int]:
    try:
        return dict(json.loads((cache_dir("plan") / _FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
