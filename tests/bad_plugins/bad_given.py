"""Saves other weights than it is given."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, TunerSpec


@hookimpl
def swift_tuners():
    return [
        TunerSpec(
            name="given", summary="Does it badly", factory=Ref("faults.tuners:Own"), trains="adapter", merger=Ref("faults.tuners:merge")
        )
    ]
