"""Checks of an evaluation's tasks and local data, before a model is loaded."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from swift_core.contract import Problem, Run, UsageError
from swift_evaluate.prepare.folder import read_prepared


def task_problems(run: Run, *, local: Collection[str], runs_code: Collection[str] = ()) -> Iterator[Problem]:
    """Yield what prevents an evaluator from running its tasks.

    Args:
        run: the evaluation.
        local: the benchmarks that the evaluator reads from prepared folders.
        runs_code: tasks in which the evaluator executes generated code without a sandbox.
    """
    tasks, data = tuple(run.options["tasks"]), run.options["data"]
    if not tasks and not data:
        hint = "Name tasks with --tasks, or local data with --data."
        yield Problem(code="EVAL-030", where="tasks", message="no task given", hint=hint)
    for task in dict.fromkeys((*tasks, *data)):
        if task in runs_code:
            message = f"the evaluator '{run.part('evaluator').name}' executes the code generated in '{task}' without a sandbox"
            hint = "Use an evaluator that executes code in the sandbox."
            yield Problem(code="EVAL-031", where="tasks", message=message, hint=hint)
    for task, path in data.items():
        if task not in local:
            hint = f"It reads prepared data of {', '.join(sorted(local))}."
            message = f"the evaluator '{run.part('evaluator').name}' has no benchmark '{task}' for local data"
            yield Problem(code="EVAL-032", where=f"data.{task}", message=message, hint=hint)
            continue
        try:
            found = read_prepared(Path(path))
        except UsageError as error:
            yield Problem(code=error.code, where=f"data.{task}", message=f"{error.where}: {error.message}", hint=error.hint)
            continue
        if found.name != task:
            message = f"the folder '{path}' has data of {found.name}, not of {task}"
            yield Problem(code="EVAL-033", where=f"data.{task}", message=message, hint="Name the benchmark's own folder.")
        elif (run.options["few_shot"] or 0) > 0 and not found.has_few_shot:
            message = f"the data of {task} have no examples for few-shot prompts"
            hint = "Prepare the files with the examples too, or use --few-shot 0."
            yield Problem(code="EVAL-034", where="few_shot", message=message, hint=hint)
