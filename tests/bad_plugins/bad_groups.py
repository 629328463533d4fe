"""Gives the optimizer half of what is trainable."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, TunerSpec


@hookimpl
def swift_tuners():
    return [
        TunerSpec(
            name="groups",
            summary="Does it badly",
            factory=Ref("faults.tuners:HalfGrouped"),
            trains="adapter",
            merger=Ref("faults.tuners:merge"),
        )
    ]
