"""Says that it trains an adapter, and leaves the base trainable."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, TunerSpec


@hookimpl
def swift_tuners():
    return [
        TunerSpec(
            name="base",
            summary="Does it badly",
            factory=Ref("faults.tuners:TrainsTheBase"),
            trains="adapter",
            merger=Ref("faults.tuners:merge"),
        )
    ]
