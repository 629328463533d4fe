"""Learns nothing of the rows that it says it takes."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, TaskSpec


@hookimpl
def swift_tasks():
    return [
        TaskSpec(
            name="bad-encoder",
            summary="Does it badly",
            factory=Ref("faults.tasks:Deaf"),
            options=Ref("swift_train.options:SftOptions"),
            rows=("chat",),
            trainer=Ref("swift_train.job:train"),
        )
    ]
