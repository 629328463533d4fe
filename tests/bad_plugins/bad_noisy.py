"""A callback that draws from the global random generator."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import CallbackSpec, Ref


@hookimpl
def swift_callbacks():
    return [CallbackSpec(name="noisy", summary="Does it badly", factory=Ref("faults.callbacks:Noisy"))]
