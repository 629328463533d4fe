"""Check the tasks of a run before the checkpoint is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from swift_core.contract import Problem, Run, UsageError
from swift_evaluate.roles import Evaluation
from swift_evaluate.rows.options import RowsEvaluatorOptions
from swift_evaluate.rows.tasks import read_tasks


def problems(run: Run) -> Iterator[Problem]:
    """Yield what is wrong with the tasks."""
    options = RowsEvaluatorOptions.checked(dict(run.part("evaluator").options))
    data = {task: Path(path) for task, path in run.options["data"].items()}
    asked = Evaluation(
        folder=Path(),
        record=lambda item: None,
        data=data,
        **{name: run.options[name] for name in ("few_shot", "samples", "temperature", "allow_code")},
    )
    for names in [[name] for name in run.options["tasks"]] or [[]]:
        try:
            read_tasks(names, options, asked)
        except UsageError as error:
            yield Problem(code=error.code, where=error.where, message=error.message, hint=error.hint)
