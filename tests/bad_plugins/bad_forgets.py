"""Saves half of what was learned."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, TunerSpec


@hookimpl
def swift_tuners():
    return [
        TunerSpec(
            name="forgets",
            summary="Does it badly",
            factory=Ref("faults.tuners:Forgetful"),
            trains="adapter",
            merger=Ref("faults.tuners:merge"),
        )
    ]
