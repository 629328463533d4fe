"""Check what is to be evaluated before the training starts: as an evaluation of the model that it begins with."""

from __future__ import annotations

from collections.abc import Iterator

from swift_core.contract import Choice, Problem, Problems, Run, Settings, SwiftError
from swift_core.plugins import verb_named
from swift_core.runs import resolve
from swift_plugin_evaluate_checkpoints.options import PREFIX, EvaluateOptions

_WHERE = "callbacks.evaluate"


def problems(run: Run, choice: Choice) -> Iterator[Problem]:
    """Yield the problems that an evaluation of the base would have."""
    options = EvaluateOptions.checked(dict(choice.options))
    metric = str(run.part("task").options.get("metric_for_best_model", ""))
    if options.tasks and options.scores_checkpoints(metric) and not any(metric.startswith(PREFIX + task) for task in options.tasks):
        yield Problem(
            code="EVAL-129",
            where="metric_for_best_model",
            message=f"'{metric}' is a score of no task that is evaluated: {', '.join(options.tasks)}",
            hint=f"Scores are named {PREFIX}TASK.METRIC.",
        )
    if run.model is None:
        return
    try:
        resolve(verb_named("eval"), Settings({**options.of_eval(), "model": run.model.path}, {}))
    except SwiftError as error:
        for each in error.errors if isinstance(error, Problems) else [error]:
            where = f"{_WHERE}: {each.where}" if each.where else _WHERE
            yield Problem(code=each.code, where=where, message=each.message, hint=each.hint)
