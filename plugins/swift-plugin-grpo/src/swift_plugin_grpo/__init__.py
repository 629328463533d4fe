"""Reinforcement learning from rewards: GRPO and its variants."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, TaskSpec


@hookimpl
def swift_tasks() -> list[TaskSpec]:
    """Register the tasks."""
    return [
        _task("GrpoOptions", name="grpo", summary="Train on sampled answers that rewards score (GRPO, DAPO, GSPO, CISPO, …)"),
        _task("RlooOptions", name="rloo", summary="Train on sampled answers, with the mean reward of the others as baseline"),
    ]


def _task(options: str, *, name: str, summary: str) -> TaskSpec:
    return TaskSpec(
        name=name,
        summary=summary,
        rows=("prompt",),
        loss_scope="sample",
        factory=Ref("swift_plugin_grpo.task:Grpo"),
        options=Ref(f"swift_plugin_grpo.options:{options}"),
        trainer=Ref("swift_train.job:train"),
        inspector=Ref("swift_train.inspection:Inspector"),
        prepare=Ref("swift_rollouts.server:prepare"),
        carry_out=Ref("swift_rollouts.server:carry_out"),
    )
