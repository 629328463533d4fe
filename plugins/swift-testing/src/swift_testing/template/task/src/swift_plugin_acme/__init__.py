"""A task: conversations, learned with smoothed labels."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract.specs import Ref, TaskSpec


@hookimpl
def swift_tasks() -> list[TaskSpec]:
    """One task. The loop of swift-train does the work (`trainer`); the factory builds what is particular: a forward and a loss."""
    return [
        TaskSpec(
            name="acme",
            summary="Conversations, the assistant's turns predicted with smoothed labels",
            rows=("chat",),
            factory=Ref("swift_plugin_acme.task:Acme"),
            options=Ref("swift_plugin_acme.options:AcmeOptions"),
            trainer=Ref("swift_train.job:train"),
            inspector=Ref("swift_train.inspection:Inspector"),
        )
    ]
