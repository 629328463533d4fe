"""EvalScope as an evaluator. This module runs in the engine's environment, which alone has the library."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING, Any

from swift_evaluate.offline import offline_if_local
from swift_evaluate.prepare import read_prepared
from swift_evaluate.roles import Evaluation, Scores
from swift_evaluate.thinking import thinking_mark
from swift_serve.client import Client

from swift_core.contract import Server, UsageError
from swift_plugin_evalscope.results import Reviews, scores
from swift_plugin_evalscope.tasks import RUNS_CODE, benchmark, dataset_args, shared_args, task_config

if TYPE_CHECKING:
    from swift_plugin_evalscope.options import EvalScopeOptions

_SECONDS = 0.5  # between two looks at EvalScope's reviews


class EvalScope:
    """Runs EvalScope's benchmarks against a server."""

    def __init__(self, options: EvalScopeOptions) -> None:
        self.options = options

    def evaluate(self, server: Server, asked: Evaluation) -> Scores:
        """Evaluate, and record every item as soon as EvalScope has reviewed it.

        Raises:
            UsageError: a task is unknown, or executes code.
            SwiftError: the server does not answer any more.
        """
        tasks = asked.tasks or tuple(asked.data)
        if asked.interrupted and asked.interrupted.is_dir():
            shutil.copytree(asked.interrupted, asked.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("reviews", "reports"))
        with offline_if_local(tasks, asked):
            from evalscope import TaskConfig, run_task
            from evalscope.api.registry import BENCHMARK_REGISTRY

            if unknown := [task for task in tasks if benchmark(task) not in BENCHMARK_REGISTRY or task in RUNS_CODE]:
                hint = "evalscope benchmark-info --list shows them."
                raise UsageError(f"EvalScope has no task '{unknown[0]}'", code="EVAL-050", where="tasks", hint=hint)
            mark = thinking_mark(asked.checkpoint)
            data = {task: read_prepared(path) for task, path in asked.data.items() if task in tasks}
            datasets = {
                benchmark(task): (dataset_args(data[task], asked, mark) if task in data else shared_args(asked, mark))
                | self.options.dataset_args.get(task, {})
                for task in tasks
            }
            described = _settings(tasks, datasets, data)
            followed = [
                Reviews(task, benchmark(task), asked.folder, data.get(task), asked.samples, examples=bool(described[task]["few_shot"]))
                for task in tasks
            ]
            with _recorded(followed, asked):
                reports = run_task(TaskConfig(**task_config(server, asked, datasets, self.options.generation_config)))
        values, failed = {}, False
        for each in followed:
            report = reports[each.benchmark].to_dict() if reports.get(each.benchmark) else {}
            missing = list(each.missing(report))
            for item in missing:
                asked.record(item)
            failed = failed or bool(missing)
            if report and not missing:
                values[each.task] = scores(report)
        if failed:
            Client(server).models()  # if the server has ended, the evaluation has failed, and not its questions
        settings = {"evalscope": metadata.version("evalscope"), "thinking_removed_until": mark, "tasks": described}
        return Scores(values=values, settings=settings)


def _settings(tasks: Sequence[str], datasets: Any, data: Any) -> dict[str, Any]:
    from evalscope.api.registry import get_benchmark
    from evalscope.config import TaskConfig

    found = {}
    for task in tasks:
        name = benchmark(task)
        adapter = get_benchmark(name, TaskConfig(model="model", datasets=[name], dataset_args={name: datasets[name]}))
        found[task] = {
            "benchmark": name,
            "few_shot": adapter.few_shot_num,
            "template": adapter.prompt_template,
            "filters": datasets[name].get("filters"),
            "data": data[task].hash() if task in data else None,
        }
    return found


@contextmanager
def _recorded(followed: Sequence[Reviews], asked: Evaluation) -> Iterator[None]:
    """Record the items of the reviews while EvalScope writes them."""
    ended, errors = threading.Event(), list[BaseException]()

    def follow() -> None:
        try:
            while not ended.wait(_SECONDS):
                record()
        except BaseException as error:
            errors.append(error)

    def record() -> None:
        for each in followed:
            for item in each.new():
                asked.record(item)

    thread = threading.Thread(target=follow, name="reviews", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if errors:
        raise errors[0]
    record()
