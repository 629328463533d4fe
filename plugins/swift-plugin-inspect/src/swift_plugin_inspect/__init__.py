"""Inspect as an evaluator: the thin plugin; Inspect itself runs in its own environment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import Engine, EvaluatorSpec, Problem, Ref

if TYPE_CHECKING:
    from swift_core.contract import Run

ENGINE = Engine(requirements=("inspect-ai==0.3.285", "openai"), disk=0.4)


@hookimpl
def swift_evaluators() -> list[EvaluatorSpec]:
    """Return the evaluator."""
    return [
        EvaluatorSpec(
            name="inspect",
            also=("inspect-ai", "inspect_ai"),
            summary="Inspect: multiple choice and arithmetic as chat, and task files of one's own",
            factory=Ref("swift_plugin_inspect.evaluator:Inspect"),
            engines=(ENGINE,),
            isolated=True,
        )
    ]


@hookimpl
def swift_check(run: Run) -> Iterator[Problem]:
    """Report tasks and local data that Inspect would reject only after the model has been loaded."""
    choice = run.parts.get("evaluator")
    if choice is not None and choice.name == "inspect":
        from swift_evaluate.prepare import task_problems

        from swift_plugin_inspect.tasks import LOCAL

        yield from task_problems(run, local=LOCAL)
