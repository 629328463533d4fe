"""Preference tasks: DPO with its losses, ORPO, CPO and SimPO."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, TaskSpec


@hookimpl
def swift_tasks() -> list[TaskSpec]:
    """Register the tasks, which train on pairs of a chosen and a rejected answer."""
    return [
        _task("dpo", "Train on preference pairs against a reference policy (DPO, IPO, APO, …)", "Dpo"),
        _task("orpo", "Train on preference pairs by odds ratio, without a reference policy", "Orpo"),
        _task("cpo", "Train on preference pairs without a reference policy (CPO, SimPO)", "Cpo"),
    ]


def _task(name: str, summary: str, factory: str) -> TaskSpec:
    return TaskSpec(
        name=name,
        summary=summary,
        rows=("preference",),
        factory=Ref(f"swift_plugin_preference.tasks:{factory}"),
        options=Ref(f"swift_plugin_preference.options:{factory}Options"),
        trainer=Ref("swift_train.job:train"),
        inspector=Ref("swift_train.inspection:Inspector"),
        loss_scope="sample",
    )
