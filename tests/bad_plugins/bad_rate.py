"""Steps by a rate of its own."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import OptimizerSpec, Ref


@hookimpl
def swift_optimizers():
    return [OptimizerSpec(name="rate", summary="Does it badly", factory=Ref("faults.optimizers:Fixed"))]
