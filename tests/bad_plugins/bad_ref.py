"""Refers to a class that is not there."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, TunerSpec


@hookimpl
def swift_tuners():
    return [TunerSpec(name="ref", summary="Does it badly", factory=Ref("faults.tuners:Nowhere"), trains="adapter")]
