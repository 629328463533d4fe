"""Merges into something else than was learned."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, TunerSpec


@hookimpl
def swift_tuners():
    return [
        TunerSpec(
            name="drift",
            summary="Does it badly",
            factory=Ref("faults.tuners:Drifting"),
            trains="adapter",
            merger=Ref("faults.tuners:merge"),
        )
    ]
