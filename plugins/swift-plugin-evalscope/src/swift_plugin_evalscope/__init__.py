"""EvalScope as an evaluator: the thin plugin; EvalScope itself runs in its own environment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import Engine, EvaluatorSpec, Problem, Ref

if TYPE_CHECKING:
    from swift_core.contract import Run

ENGINE = Engine(requirements=("evalscope==1.14.1", "langdetect", "nltk"), disk=1.3)


@hookimpl
def swift_evaluators() -> list[EvaluatorSpec]:
    """Return the evaluator."""
    return [
        EvaluatorSpec(
            name="evalscope",
            also=("Native",),
            summary="EvalScope: its benchmarks as chat, scored by the answer that is extracted",
            factory=Ref("swift_plugin_evalscope.evaluator:EvalScope"),
            options=Ref("swift_plugin_evalscope.options:EvalScopeOptions"),
            engines=(ENGINE,),
            isolated=True,
        )
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Report tasks and local data that EvalScope would reject only after the model has been loaded."""
    choice = run.parts.get("evaluator")
    if choice is not None and choice.name == "evalscope":
        from swift_evaluate.prepare import task_problems

        from swift_plugin_evalscope.tasks import LOCAL, RUNS_CODE

        yield from task_problems(run, local=LOCAL, runs_code=RUNS_CODE)
