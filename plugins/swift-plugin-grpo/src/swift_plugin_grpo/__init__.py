"""Training on sampled answers: GRPO and its variants, and on-policy distillation."""

from __future__ import annotations

from typing import Any

from swift_core import hookimpl
from swift_core.contract import Ref, TaskSpec


@hookimpl
def swift_tasks() -> list[TaskSpec]:
    """Register the tasks."""
    return [
        _task("GrpoOptions", name="grpo", summary="Train on sampled answers scored by reward functions (GRPO, DAPO, GSPO, CISPO, …)"),
        _task("RlooOptions", name="rloo", summary="Train on sampled answers, with the mean reward of the other answers as baseline (RLOO)"),
        _task(
            "GkdOptions",
            module="gkd_options",
            name="gkd",
            summary="Distil a teacher: match its token distributions on sampled answers (GKD)",
            factory=Ref("swift_plugin_grpo.gkd:Gkd"),
            prepare=Ref("swift_plugin_grpo.teacher:prepare"),
        ),
    ]


def _task(options: str, *, module: str = "options", **facts: Any) -> TaskSpec:
    return TaskSpec(
        **{
            "rows": ("prompt", "chat"),
            "loss_scope": "sample",
            "factory": Ref("swift_plugin_grpo.task:Grpo"),
            "prepare": Ref("swift_plugin_grpo.teacher:prepare_with_teacher"),
            **facts,
        },
        options=Ref(f"swift_plugin_grpo.{module}:{options}"),
        trainer=Ref("swift_train.job:train"),
        inspector=Ref("swift_train.inspection:Inspector"),
        carry_out=Ref("swift_rollouts.server:carry_out"),
    )
