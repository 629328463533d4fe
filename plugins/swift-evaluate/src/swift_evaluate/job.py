"""What eval does: check the run, serve the checkpoint if needed, call the evaluator, and record its scores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swift_serve.temporary_server import carry_out as carry_out_with_server, server_of

from swift_core.contract import EvaluatorSpec, Problem, Run, RunResult, Scores, SwiftError
from swift_core.plugins import Registry, registry
from swift_core.runs import Context, Report, execute_run
from swift_evaluate.scores import figures, write

PREDICTIONS = "predictions"  # folder of the predictions in the run folder


def problems(run: Run, known: Registry) -> Iterator[Problem]:
    """Yield what is missing or contradictory in the evaluator's input."""
    inline, url = _inline(run, known), run.options["url"]
    if run.model is None and (inline or not url):
        hint = "Name a checkpoint with --model." if inline else "Name a checkpoint with --model, or a running server with --url."
        yield Problem(code="EVAL-001", where="model", message="no model given" if inline else "no model and no --url given", hint=hint)
    if inline and url:
        message = f"the evaluator '{run.part('evaluator').name}' loads the checkpoint itself and evaluates no server"
        yield Problem(code="EVAL-002", where="url", message=message, hint="Leave out --url.")
    if inline and run.adapters:
        message = f"the evaluator '{run.part('evaluator').name}' loads the checkpoint itself, without adapters"
        yield Problem(
            code="EVAL-003", where="adapter", message=message, hint="Merge the adapter first: swift merge; then evaluate the merged model."
        )


def carry_out(run: Run, context: Context) -> RunResult:
    """Run the evaluator in a worker, with a server for the checkpoint unless the evaluator needs none."""
    return execute_run(run, context) if _inline(run, registry()) else carry_out_with_server(run, context)


def evaluate(run: Run, report: Report) -> tuple[Path, dict[str, Any]]:
    """Evaluate, and write `scores.json`; figures: each score by task and metric, with its standard error if there is one.

    Raises:
        UsageError: the evaluator does not know a task, or its settings are wrong.
        SwiftError: the server failed, or a task has no scores.
    """
    choice, tasks = run.part("evaluator"), tuple(run.options["tasks"])
    predictions = report.folder / PREDICTIONS
    predictions.mkdir(exist_ok=True)
    subject: Any = Path(run.model.path) if _inline(run, registry()) and run.model else server_of(run)
    scores: Scores = choice.build().evaluate(subject, tasks, predictions)
    absent = [task for task in tasks if not scores.values.get(task)] or ([] if scores.values else ["any task"])
    if absent:
        hint = f"Name tasks of the evaluator with --tasks; the predictions are in {predictions}."
        raise SwiftError(f"the evaluator '{choice.name}' gave no scores for {', '.join(absent)}", code="EVAL-004", where="tasks", hint=hint)
    return write(scores, choice.name, report.folder), figures(scores)


def _inline(run: Run, known: Registry) -> bool:
    return known.spec(run.part("evaluator"), EvaluatorSpec).over == "inline"
