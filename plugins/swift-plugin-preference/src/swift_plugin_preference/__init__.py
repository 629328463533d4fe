"""Preference tasks: DPO with its losses, on rows or on sampled answers, KTO, ORPO, CPO, SimPO and reward models."""

from __future__ import annotations

from typing import Any

from swift_core import hookimpl
from swift_core.contract import Ref, TaskSpec


@hookimpl
def swift_tasks() -> list[TaskSpec]:
    """Register the tasks."""
    return [
        _task("tasks:Dpo", name="dpo", summary="Train on preference pairs, relative to a reference policy (DPO, IPO, APO, …)"),
        _task(
            "kto:Kto",
            name="kto",
            summary="Train on answers labelled good or bad, relative to a reference policy (KTO)",
            rows=("label",),
            loss_scope="step",
        ),
        _task("rewards:Rm", name="rm", summary="Train a reward model on preference pairs", also=("reward",), head="score:1"),
        _task(
            "online_dpo:OnlineDpo",
            name="online-dpo",
            also=("online_dpo",),
            summary="Train on preferences between sampled answers scored by reward functions, relative to a reference policy (online DPO)",
            rows=("prompt", "chat"),
            options=Ref("swift_plugin_preference.online_options:OnlineDpoOptions"),
            prepare=Ref("swift_rollouts.server:prepare"),
            carry_out=Ref("swift_rollouts.server:carry_out"),
        ),
        _task("tasks:Orpo", name="orpo", summary="Train on preference pairs by their odds ratio, without a reference policy (ORPO)"),
        _task("tasks:Cpo", name="cpo", summary="Train on preference pairs without a reference policy (CPO)"),
        _task(
            "tasks:Cpo",
            name="simpo",
            summary="Train on preference pairs by length-normalised "
            "log-probabilities and a target margin, without a "
            "reference policy (SimPO)",
            options=Ref("swift_plugin_preference.options:SimpoOptions"),
        ),
    ]


def _task(factory: str, **facts: Any) -> TaskSpec:
    return TaskSpec(
        **{
            "rows": ("preference",),
            "loss_scope": "sample",
            "options": Ref(f"swift_plugin_preference.options:{factory.partition(':')[2]}Options"),
            **facts,
        },
        factory=Ref(f"swift_plugin_preference.{factory}"),
        trainer=Ref("swift_train.job:train"),
        inspector=Ref("swift_train.inspection:Inspector"),
    )
