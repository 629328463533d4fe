"""A plan: what a run needs, by phase and category, on a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from swift_plan.devices import Device

Method = Literal["trace", "formula"]
PHASES = ("load", "step", "update", "evaluate", "save")


@dataclass(frozen=True, slots=True)
class Phase:
    """Device memory of a phase at its highest moment: bytes by category."""

    name: str  # load, step (forward and backward), update (optimizer), evaluate, save
    parts: Mapping[str, int]  # weights, adapter, gradients, optimizer, inputs, activations, logits, temporary, kv cache

    @property
    def total(self) -> int:
        """Bytes of all categories."""
        return sum(self.parts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The memory, disk and time that a run needs, for one process on one device.

    `phases` are what torch allocates. `overhead` is the device memory beside it: context, workspaces, fragmentation.
    """

    verb: str  # the verb of the run
    model: str  # reference of the model
    device: Device  # where it is to run
    method: Method  # trace: the step itself, on fake tensors; formula: an estimate
    phases: tuple[Phase, ...]
    overhead: int = 0  # bytes of device memory beside what torch allocates
    host: int = 0  # bytes of main memory of a process
    disk: Mapping[str, int] = field(default_factory=dict)  # bytes by purpose: download, tokens, checkpoints, output
    disk_free: int = 0  # bytes free where the run writes; 0: unknown
    processes: int = 1  # on all nodes
    tokens: int = 0  # of the largest forward pass
    length: int = 0  # tokens of the longest sequence
    seconds: float = 0.0  # per optimizer step; 0: unknown
    steps: int = 0  # optimizer steps; 0: unknown
    bound: str = ""  # what the time is spent on: compute, or memory bandwidth
    least: int = 0  # a lower bound of the peak, in bytes: less is not possible
    notes: tuple[str, ...] = ()  # assumptions

    @property
    def highest(self) -> Phase:
        """The phase with the highest total."""
        return max(self.phases, key=lambda phase: phase.total)

    @property
    def peak(self) -> int:
        """Bytes of device memory at the highest moment, with the overhead."""
        return self.highest.total + self.overhead

    @property
    def limits(self) -> tuple[str, ...]:
        """Resources that are too small for the run: device memory, main memory, disk."""
        found = []
        if self.device.memory and self.peak > self.device.memory:
            found.append("device memory" if self.device.kind != "cpu" else "main memory")
        if self.device.kind != "cpu" and self.device.host and self.host > self.device.host:
            found.append("main memory")
        if self.disk_free and sum(self.disk.values()) > self.disk_free:
            found.append("disk")
        return tuple(found)

    @property
    def fits(self) -> bool:
        """True if nothing is too small."""
        return not self.limits

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = asdict(self)
        return {"schema": 1, **values, "peak": self.peak, "phase": self.highest.name, "fits": self.fits, "limits": list(self.limits)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """Create the object from what `to_json` returned."""
        values = {name: value for name, value in data.items() if name in cls.__dataclass_fields__}
        values["device"] = Device(**data["device"])
        values["phases"] = tuple(Phase(**each) for each in data["phases"])
        values["notes"] = tuple(data["notes"])
        return cls(**values)
