"""lm-eval as an evaluator: the thin plugin; lm-eval itself runs in its own environment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import Engine, EvaluatorSpec, Problem, Ref

if TYPE_CHECKING:
    from swift_core.contract import Run

ENGINE = Engine(requirements=("lm-eval==0.4.13", "langdetect", "immutabledict", "nltk", "tenacity"), disk=0.9)


@hookimpl
def swift_evaluators() -> list[EvaluatorSpec]:
    """Return the evaluator."""
    return [
        EvaluatorSpec(
            name="lm-eval",
            also=("lm_eval", "lm-evaluation-harness"),
            summary="lm-eval: log-likelihoods of choices, and generation as chat",
            factory=Ref("swift_plugin_lm_eval.evaluator:LmEval"),
            options=Ref("swift_plugin_lm_eval.options:LmEvalOptions"),
            engines=(ENGINE,),
            isolated=True,
        )
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Report tasks and local data that lm-eval would reject only after the model has been loaded."""
    choice = run.parts.get("evaluator")
    if choice is not None and choice.name == "lm-eval":
        from swift_evaluate.prepare import task_problems

        from swift_plugin_lm_eval.tasks import LOCAL, RUNS_CODE

        yield from task_problems(run, local=LOCAL, runs_code=RUNS_CODE)
