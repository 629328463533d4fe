"""A callback that forgets its state."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import CallbackSpec, Ref


@hookimpl
def swift_callbacks():
    return [CallbackSpec(name="unsaved", summary="Does it badly", factory=Ref("faults.callbacks:Unsaved"))]
