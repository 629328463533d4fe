"""Has a loss that ignores the weights."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, TaskSpec


@hookimpl
def swift_tasks():
    return [
        TaskSpec(
            name="weights",
            summary="Does it badly",
            factory=Ref("faults.tasks:Unweighted"),
            options=Ref("swift_train.options:SftOptions"),
            rows=("chat",),
            trainer=Ref("swift_train.job:train"),
        )
    ]
