"""Training on sampled answers: GRPO and its variants, PPO, and on-policy distillation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from swift_core import hookimpl
from swift_core.contract import Problem, Ref, Run, TaskSpec


@hookimpl
def swift_tasks() -> list[TaskSpec]:
    """Register the tasks."""
    return [
        _task("GrpoOptions", name="grpo", summary="Train on sampled answers scored by reward functions (GRPO, DAPO, GSPO, CISPO, …)"),
        _task("RlooOptions", name="rloo", summary="Train on sampled answers, with the mean reward of the other answers as baseline (RLOO)"),
        _task(
            "PpoOptions",
            module="ppo_options",
            name="ppo",
            summary="Train on sampled answers scored by reward functions, with a value head (PPO)",
            factory=Ref("swift_plugin_grpo.ppo:Ppo"),
            prepare=Ref("swift_rollouts.server:prepare"),
        ),
        _task(
            "GkdOptions",
            module="gkd_options",
            name="gkd",
            summary="Distil a teacher: match its token distributions on sampled answers (GKD)",
            factory=Ref("swift_plugin_grpo.gkd:Gkd"),
            prepare=Ref("swift_plugin_grpo.teacher:prepare"),
        ),
    ]


@hookimpl
def swift_check(run: Run) -> Iterable[Problem]:
    """Report strategies that do not support a value head, before anything is loaded."""
    if "parallel" not in run.parts or "task" not in run.parts or run.parts["task"].name != "ppo":
        return []
    from swift_plugin_grpo.check import problems

    return problems(run)


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
