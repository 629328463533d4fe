"""Devices: cards as data, and the device of this machine, found without torch."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract import UsageError, suggestion

if TYPE_CHECKING:
    from swift_core.contract import Run

GIB = 1 << 30
_SHARE_OF_PEAK, _SHARE_OF_BANDWIDTH = 0.5, 0.8  # what training reaches of a data sheet's figures; measured devices need no such factor


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device: its memory, and how fast it computes. `memory` is 0 if it is unknown."""

    name: str  # rtx3090, cpu, …
    title: str  # its full name
    kind: str = "cuda"  # cuda, cpu, mps, npu, …
    memory: int = 0  # bytes
    free: int = 0  # bytes free now; 0: unknown
    host: int = 0  # bytes of main memory beside it; 0: unknown
    bandwidth: float = 0.0  # bytes per second; 0: unknown
    rates: Mapping[str, float] = field(default_factory=dict)  # floating-point operations per second, by dtype
    source: str = ""  # where the figures are from; "": measured, or not known

    def rate(self, dtype: str) -> float:
        """Return the floating-point operations per second in a dtype; 0 if unknown."""
        return self.rates.get(dtype) or self.rates.get("float32", 0.0)

    @property
    def narrow(self) -> str:
        """The 16-bit dtype that it computes natively; float32 if none."""
        return next((name for name in ("bfloat16", "float16") if name in self.rates), "float32")


@cache
def cards() -> tuple[Device, ...]:
    """Return the known cards, smallest memory first; rates are the share of the data sheet's dense peak that training reaches."""
    rows: list[dict[str, Any]] = json.loads((files("swift_plan") / "cards.json").read_text(encoding="utf-8"))
    found = [
        Device(
            name=row["name"],
            title=row["title"],
            memory=int(row["memory_gib"] * GIB),
            bandwidth=row["bandwidth"] * 1e9 * _SHARE_OF_BANDWIDTH,
            rates={name: row[name] * 1e12 * _SHARE_OF_PEAK for name in ("float32", "float16", "bfloat16") if name in row},
            source=row["source"],
        )
        for row in rows
    ]
    return tuple(sorted(found, key=lambda card: (card.memory, card.name)))


def device_named(name: str) -> Device:
    """Return a card by name.

    Raises:
        UsageError: there is no such card.
    """
    names = [card.name for card in cards()]
    wanted = name.lower().replace(" ", "").replace("_", "-")
    found = next((card for card in cards() if card.name == wanted), None)
    if found is None:
        hint = suggestion(wanted, names) or f"Known: {', '.join(names)}."
        raise UsageError(f"there is no card '{name}'", code="PLAN-001", where="--device", hint=hint)
    return found


def this_device(run: Run | None = None) -> Device:
    """Return the device that a run would use on this machine; one of unknown memory if only torch could tell."""
    asked = str(run.options.get("device", "auto")) if run else "auto"
    kind, _, index = asked.partition(":")
    if kind == "cpu" or (kind == "auto" and _only_cpu()):
        return _cpu()
    if kind in ("auto", "cuda") and (found := _nvidia(int(index) if index.isdigit() else 0)):
        return found
    if (
        kind == "auto"
        and sys.platform == "linux"
        and not _nvidia(0)
        and not Path("/dev/kfd").exists()
        and not Path("/dev/davinci0").exists()
        and not importlib.metadata.entry_points(group="torch.backends")
    ):
        return _cpu()
    return Device(name=kind, title=f"{kind} of this machine", kind=kind, host=main_memory())


def main_memory() -> int:
    """Return the bytes of main memory that this process may use: the machine's, or the limit of its container. 0: unknown."""
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        limit = "max"
    return min(physical, int(limit)) if limit.isdigit() else physical


def _cpu() -> Device:
    from swift_plan.speed import measured

    speed = measured()
    return Device(
        name="cpu", title="CPU of this machine", kind="cpu", memory=main_memory(), free=_available(), host=main_memory(),
        bandwidth=speed.get("bandwidth", 0.0), rates={name: rate for name, rate in speed.items() if name != "bandwidth"},
    )  # fmt: skip


def _available() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), 0)


def _nvidia(index: int) -> Device | None:
    """Return an NVIDIA GPU of this machine, with the speed of the card of that name if it is known."""
    from swift_report import nvml

    found = nvml.memory()
    if index >= len(found):
        return None
    name, total, free = found[index]
    known = next((card for card in cards() if _same_card(card, name, total)), None)
    return Device(
        name=known.name if known else name.lower().replace(" ", "-"), title=name, memory=total, free=free, host=main_memory(),
        bandwidth=known.bandwidth if known else 0.0, rates=known.rates if known else {}, source=known.source if known else "",
    )  # fmt: skip


def _same_card(card: Device, name: str, total: int) -> bool:
    """Return whether a GPU is this card: the words of its name that are not in every name, and its memory."""
    words = [
        word for word in card.title.lower().split() if word not in ("nvidia", "geforce", "amd", "sxm", "gb", "16", "32", "40", "80", "12")
    ]
    own = name.lower().replace("-", " ").split()
    return bool(words) and all(word in own for word in words) and abs(card.memory - total) < 0.1 * card.memory


def _only_cpu() -> bool:
    """Return whether the installed torch is a CPU build, to which no distribution brings a device of its own."""
    try:
        build = importlib.metadata.version("torch").endswith("+cpu")
        return build and not importlib.metadata.entry_points(group="torch.backends")
    except importlib.metadata.PackageNotFoundError:
        return False
