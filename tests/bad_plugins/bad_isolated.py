"""Wants an environment of its own for what shares the training process."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, TunerSpec


@hookimpl
def swift_tuners():
    return [TunerSpec(name="isolated", summary="Does it badly", factory=Ref("faults.tuners:Drifting"), trains="adapter", isolated=True)]
