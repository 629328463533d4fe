"""Forgets at restore what is to learn."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, TunerSpec


@hookimpl
def swift_tuners():
    return [
        TunerSpec(
            name="frozen", summary="Does it badly", factory=Ref("faults.tuners:Frozen"), trains="adapter", merger=Ref("faults.tuners:merge")
        )
    ]
