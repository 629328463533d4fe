"""The verb that evaluates a checkpoint or a server, eval, and the evaluator of own rows."""

from __future__ import annotations

from swift_core.contract import EvaluatorSpec, Problem, Ref, Run, SectionSpec, VerbSpec, hookimpl

SWIFT_EXAMPLES = Ref("swift_evaluate.examples:EXAMPLES")


@hookimpl
def swift_verbs() -> list[VerbSpec]:
    """Return eval."""
    return [
        VerbSpec(
            name="eval",
            summary="Evaluate a checkpoint or a server, and record the scores",
            also=("evaluate",),
            options=Ref("swift_evaluate.options:EvalOptions"),
            takes=("checkpoint", "server"),
            gives="scores",
            positional="model",
            main="evaluator",
            parts={"evaluator": "", "backend": "transformers"},
            job=Ref("swift_evaluate.job:evaluate"),
            prepare=(Ref("swift_evaluate.job:prepare"),),
            check=Ref("swift_evaluate.job:problems"),
            carry_out=Ref("swift_evaluate.job:carry_out"),
            spellings={"infer_backend": "backend"},
            ignored={
                "merge_lora": "adapters are applied to the base model as they are, with the same answers",
                "stream": "answers are read whole",
            },
            unsupported={"verbose": "Progress is always shown."},
            rewrite=Ref("swift_evaluate.rewriting:rewrite"),
            show=Ref("swift_evaluate.scores:lines"),
            command=Ref("swift_evaluate.commands.eval_command:EvalCommand"),
        )
    ]


@hookimpl
def swift_evaluators() -> list[EvaluatorSpec]:
    """Return own-data."""
    return [
        EvaluatorSpec(
            name="own-data",
            summary="Own questions from a file, scored by metrics",
            factory=Ref("swift_evaluate.rows.evaluator:RowsEvaluator"),
            options=Ref("swift_evaluate.rows.options:RowsEvaluatorOptions"),
        )
    ]


@hookimpl
def swift_check(run: Run) -> list[Problem]:
    """Check the rows of the evaluator `own-data`."""
    choice = run.parts.get("evaluator")
    if run.verb != "eval" or choice is None or (choice.name, choice.plugin) != ("own-data", "evaluate"):
        return []
    from swift_evaluate.rows.check import problems

    return list(problems(run))


@hookimpl
def swift_report_sections() -> list[SectionSpec]:
    """Return the scores."""
    return [
        SectionSpec(
            name="scores",
            title="Scores",
            summary="Scores of evaluations with their confidence intervals",
            content=Ref("swift_evaluate.report:content"),
            order=150,
        )
    ]
