"""Quantizes to other weights every time."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import QuantizerSpec, Ref


@hookimpl
def swift_quantizers():
    return [
        QuantizerSpec(
            name="random", summary="Does it badly", factory=Ref("faults.quantizers:Random"), when="offline", format="halves", bits=(16,)
        )
    ]
