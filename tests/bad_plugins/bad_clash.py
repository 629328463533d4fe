"""Offers a tuner under a name that another has."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, TunerSpec


@hookimpl
def swift_tuners():
    return [TunerSpec(name="lora", summary="Does it badly", factory=Ref("faults.tuners:Drifting"), trains="adapter")]
