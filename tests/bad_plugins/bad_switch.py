"""Says that its adapters take turns, and lets the last one speak."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, TunerSpec


@hookimpl
def swift_tuners():
    return [
        TunerSpec(
            name="switch", summary="Does it badly", factory=Ref("faults.tuners:Stuck"), trains="adapter", merger=Ref("faults.tuners:merge")
        )
    ]
