"""Trains on a base in four bits, and says that it can't."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, TunerSpec


@hookimpl
def swift_tuners():
    return [
        TunerSpec(
            name="four-bits",
            summary="Does it badly",
            factory=Ref("faults.tuners:Adapter"),
            trains="adapter",
            quantized_base=False,
            merger=Ref("faults.tuners:merge"),
        )
    ]
