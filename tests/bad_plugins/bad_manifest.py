"""Writes hashes of other files into the manifest."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import QuantizerSpec, Ref


@hookimpl
def swift_quantizers():
    return [
        QuantizerSpec(
            name="manifest", summary="Does it badly", factory=Ref("faults.quantizers:Liar"), when="offline", format="halves", bits=(16,)
        )
    ]
