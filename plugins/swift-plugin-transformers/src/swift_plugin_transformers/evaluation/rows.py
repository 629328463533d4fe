"""The rows of a task of `builtin`; read before anything is loaded, too, so that a mistake is found first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from swift_evaluate import question_id
from swift_evaluate.rows.files import SourceRow, read_rows

from swift_core.contract import Problem, Run, UsageError
from swift_plugin_transformers.evaluation.options import DEFAULT_TASK, TASKS, BuiltinOptions


def rows_of(task: str, data: Mapping[str, Path], options: BuiltinOptions) -> dict[str, SourceRow]:
    """Return the rows of a task by their id, which is a hash of the row.

    Raises:
        UsageError: the task is unknown, or has no rows.
    """
    found: dict[str, SourceRow] = {}
    for row in read_rows(file_of(task, data, options)):
        found.setdefault(question_id(dict(row.data)), row)
    return found


def file_of(task: str, data: Mapping[str, Path], options: BuiltinOptions) -> Path:
    """Return the file with the rows of a task.

    Raises:
        UsageError: the task is unknown, or no file is named.
    """
    if task not in TASKS:
        raise UsageError(f"there is no task '{task}'", code="EVAL-067", where="tasks", hint=f"Tasks: {', '.join(TASKS)}.")
    path = data.get(task) or (Path(options.rows) if options.rows else None)
    if path is None:
        raise UsageError(f"the task {task} has no rows", code="EVAL-068", where="rows", hint="Add --rows FILE.jsonl.")
    return path


def problems(run: Run) -> Iterator[Problem]:
    """Yield what is wrong with the tasks and the rows of a run."""
    options = BuiltinOptions.checked(dict(run.part("evaluator").options))
    data = {task: Path(path) for task, path in run.options["data"].items()}
    tasks = run.options["tasks"] or [DEFAULT_TASK]
    for task in tasks:
        try:
            rows_of(task, data, options)
        except UsageError as error:
            yield Problem(code=error.code, where=error.where, message=error.message, hint=error.hint)
    if "divergence" in tasks and not options.reference:
        hint = "Add --reference FOLDER, such as the checkpoint before quantization."
        yield Problem(code="EVAL-064", where="reference", message="the task divergence needs a reference checkpoint", hint=hint)
