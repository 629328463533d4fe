"""The callback `evaluate`: checkpoints are evaluated while the training continues."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import CallbackSpec, Problem, Ref, Run, SectionSpec

SWIFT_EXAMPLES = Ref("swift_plugin_evaluate_checkpoints.examples:EXAMPLES")


@hookimpl
def swift_callbacks() -> list[CallbackSpec]:
    """Return evaluate."""
    return [
        CallbackSpec(
            name="evaluate",
            summary="Evaluate checkpoints while the training continues, in another process",
            factory=Ref("swift_plugin_evaluate_checkpoints.callback:EvaluateCheckpoints"),
            options=Ref("swift_plugin_evaluate_checkpoints.options:EvaluateOptions"),
        )
    ]


@hookimpl
def swift_check(run: Run) -> list[Problem]:
    """Check the evaluator and its tasks."""
    choice = run.parts.get("callback.evaluate")
    if choice is None or choice.plugin != "evaluate-checkpoints":
        return []
    from swift_plugin_evaluate_checkpoints.check import problems

    return list(problems(run, choice))


@hookimpl
def swift_report_sections() -> list[SectionSpec]:
    """Return the scores of the checkpoints."""
    return [
        SectionSpec(
            name="checkpoint-scores",
            title="Scores during the training",
            summary="Scores of the checkpoints that were evaluated during a training",
            content=Ref("swift_plugin_evaluate_checkpoints.report:content"),
            order=160,
        )
    ]
