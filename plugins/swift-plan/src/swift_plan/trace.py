"""Records of a ledger as data, so that a process without torch can read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Peak:
    """The highest total of a segment, in bytes, and its parts."""

    total: int = 0
    parts: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Work:
    """Arithmetic of a segment: floating-point operations of matrix products and attention, and bytes read and written by all operators."""

    flops: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Trace:
    """Peaks and arithmetic by segment of a step; the number of trainable weights, and the bytes of the others."""

    peaks: Mapping[str, Peak]
    work: Mapping[str, Work]
    trained: int
    weights: int

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)
