"""Saves an adapter that PEFT can't read."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, TunerSpec


@hookimpl
def swift_tuners():
    return [
        TunerSpec(
            name="foreign",
            summary="Does it badly",
            factory=Ref("faults.tuners:Foreign"),
            trains="adapter",
            merger=Ref("faults.tuners:merge"),
        )
    ]
