"""A task: supervised fine-tuning with a penalty on confident predictions."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, TaskSpec


@hookimpl
def swift_tasks() -> list[TaskSpec]:
    """Return one task. The training loop is that of swift-train (`trainer`); the factory builds its forward pass and its loss."""
    return [
        TaskSpec(
            name="acme",
            summary="Supervised fine-tuning with a penalty on confident predictions",
            rows=("chat",),
            factory=Ref("swift_plugin_acme.task:Acme"),
            options=Ref("swift_plugin_acme.options:AcmeOptions"),
            trainer=Ref("swift_train.job:train"),
            inspector=Ref("swift_train.inspection:Inspector"),
        )
    ]
