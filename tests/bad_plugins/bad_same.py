"""Quantizes nothing."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import QuantizerSpec, Ref


@hookimpl
def swift_quantizers():
    return [
        QuantizerSpec(
            name="same", summary="Does it badly", factory=Ref("faults.quantizers:Same"), when="offline", format="halves", bits=(16,)
        )
    ]
