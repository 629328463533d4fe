"""Quantizes a model on which nothing learns."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import QuantizerSpec, Ref


@hookimpl
def swift_quantizers():
    return [QuantizerSpec(name="unready", summary="Badly", factory=Ref("faults.quantizers:Unready"), when="load", format="x", bits=(16,))]
