"""Energy of the machine during a run, in `energy.json`: of CPU packages by RAPL, of GPUs by NVML; nothing if neither can be read.

The counters are those of whole packages and GPUs, so whatever else they do meanwhile is included. RAPL's wrap around after some minutes
to hours of full load; since `swift_metrics` is called about once per step, `sample` adds them up before that.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from swift_core.system import write_json
from swift_report import nvml

ENERGY = "energy.json"
_RAPL = Path("/sys/class/powercap")
_EVERY = 30.0  # seconds between two samples


@dataclass(slots=True)
class _Meter:
    """Joules by counter, added up between samples."""

    last: Mapping[str, float]
    total: dict[str, float] = field(default_factory=dict)
    read_at: float = field(default_factory=time.monotonic)

    def sample(self) -> None:
        now, ranges = _counters(), _ranges()
        for name, value in now.items():
            used = value - self.last.get(name, value)
            self.total[name] = self.total.get(name, 0.0) + (used if used >= 0 else used + ranges.get(name, -used))
        self.last, self.read_at = now, time.monotonic()


_meters: dict[Path, _Meter] = {}  # of the runs that go on, by run folder


def begin(folder: Path) -> None:
    """Start to measure, if there is a counter that can be read."""
    if counters := _counters():
        _meters[folder] = _Meter(counters)


def sample(folder: Path) -> None:
    """Read the counters if that was not done for a while."""
    meter = _meters.get(folder)
    if meter and time.monotonic() - meter.read_at > _EVERY:
        meter.sample()


def end(folder: Path) -> None:
    """Write `energy.json`: joules by counter."""
    if meter := _meters.pop(folder, None):
        meter.sample()
        write_json(folder / ENERGY, {"schema": 1, "joules": {name: round(value, 3) for name, value in meter.total.items()}})


def _counters() -> dict[str, float]:
    return {**_packages("energy_uj"), **nvml.energy()}


def _ranges() -> dict[str, float]:
    """Return the joules after which a counter starts at zero again."""
    return _packages("max_energy_range_uj")


def _packages(file: str) -> dict[str, float]:
    """Return a value of each CPU package, in joules, by its name: 'cpu package-0'."""
    found = {}
    for zone in sorted(_RAPL.glob("intel-rapl:*")):
        if zone.name.count(":") == 1:  # zones inside a package are part of it
            try:
                found[f"cpu {(zone / 'name').read_text().strip()}"] = int((zone / file).read_text()) / 1e6
            except (OSError, ValueError):  # readable by root alone, on most machines
                continue
    return found
