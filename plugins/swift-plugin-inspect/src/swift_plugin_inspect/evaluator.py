"""Inspect as an evaluator. This module runs in the engine's environment, which alone has the library."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from swift_evaluate.offline import offline_if_local
from swift_evaluate.prepare import PreparedBenchmark, read_prepared
from swift_evaluate.roles import Evaluation, Scores
from swift_serve.client import Client

from swift_core.contract import Server, SwiftError, UsageError
from swift_plugin_inspect import results as read
from swift_plugin_inspect.tasks import ARITHMETIC, TEMPLATE, questions

if TYPE_CHECKING:
    from inspect_ai import Task
    from inspect_ai.hooks import SampleEnd
    from inspect_ai.log import EvalLog

RETRIES = 3


class Inspect:
    """Runs prepared benchmarks and Inspect's own tasks against a server."""

    def __init__(self, options: None = None) -> None:
        self._names: dict[str, str] = {}  # the task that runs now

    def evaluate(self, server: Server, asked: Evaluation) -> Scores:
        """Evaluate, and record every item as soon as Inspect has scored it.

        Raises:
            UsageError: a task is unknown.
            SwiftError: a task failed, or the server does not answer any more.
        """
        tasks = asked.tasks or tuple(asked.data)
        found: dict[str, EvalLog] = {}
        data = {task: read_prepared(path) for task, path in asked.data.items() if task in tasks}
        with offline_if_local(tasks, asked):
            self._record_samples(asked)
            for task in tasks:
                subject = self._task(task, data[task], asked) if task in data else task
                if subject is not None:
                    found[task] = self._run(task, subject, server, asked)
        logs = {task: log.model_dump(mode="json", exclude={"samples"}) for task, log in found.items()}
        complete = {task: log for task, log in logs.items() if not _failed(log) and not any(key[0] == task for key in asked.recorded)}
        if any(map(_failed, logs.values())):
            Client(server).models()  # if the server has ended, the evaluation has failed, and not its questions
        settings = {"inspect": metadata.version("inspect-ai"), "thinking": "removed between <think> and </think>, by Inspect"}
        described = {task: _settings(log, data.get(task), asked) for task, log in logs.items()}
        values = {task: read.scores(log["results"]) for task, log in complete.items() if log.get("results")}
        return Scores(values=values, settings={**settings, "tasks": described})

    def _record_samples(self, asked: Evaluation) -> None:
        """Have Inspect call us with each sample that it has finished."""
        from inspect_ai.hooks import Hooks, hooks
        from inspect_ai.scorer import value_to_float

        names, to_float = self._names, value_to_float()

        @hooks(name="swift_items", description="Record items")
        class Recorder(Hooks):  # type: ignore[misc]
            async def on_sample_end(self, data: SampleEnd) -> None:
                asked.record(read.item(names["current"], data.sample.model_dump(mode="json", exclude={"events"}), to_float))

    def _task(self, task: str, found: PreparedBenchmark, asked: Evaluation) -> Task | None:
        """Return a prepared benchmark as a task of Inspect; None if all its items are recorded."""
        from inspect_ai import Task
        from inspect_ai.dataset import MemoryDataset, Sample
        from inspect_ai.scorer import choice, match
        from inspect_ai.solver import generate, multiple_choice, prompt_template

        samples = [
            Sample(
                id=each.id,
                input=each.examples + each.text,
                choices=list(each.choices) or None,
                target=each.target,
                metadata={"cluster": each.cluster, "question": each.text},
            )
            for each in questions(found, limit=asked.limit, few_shot=asked.few_shot or 0)
            if not all((task, each.id, sample) in asked.recorded for sample in range(asked.samples))
        ]
        if not samples:
            return None
        asked.expect(len(samples) * asked.samples)
        dataset = MemoryDataset(samples, name=task)
        if task in ARITHMETIC:
            return Task(name=task, dataset=dataset, solver=[prompt_template(TEMPLATE), generate()], scorer=match(numeric=True))
        return Task(name=task, dataset=dataset, solver=multiple_choice(), scorer=choice())

    def _run(self, task: str, subject: Any, server: Server, asked: Evaluation) -> EvalLog:
        from inspect_ai import eval as evaluate
        from inspect_ai.model import get_model

        self._names["current"] = task
        model = get_model(f"openai-api/swift/{server.models[0]}", base_url=server.url, api_key=server.api_key or "EMPTY", memoize=False)
        try:
            logs: Sequence[EvalLog] = evaluate(
                subject,
                model=model,
                log_dir=str(asked.folder),
                log_format="eval",
                display="none",
                epochs=asked.samples if asked.samples > 1 else None,
                limit=(asked.limit or None) if isinstance(subject, str) else None,
                fail_on_error=False,
                max_retries=RETRIES,
                max_connections=asked.concurrency,
                max_samples=asked.concurrency,
                seed=asked.seed,
                temperature=asked.temperature if asked.temperature is not None else 0.0,
                **({"max_tokens": asked.max_tokens} if asked.max_tokens is not None else {}),
            )
        except Exception as error:
            if isinstance(subject, str) and type(error).__name__ in ("PrerequisiteError", "FileNotFoundError", "LookupError", "ValueError"):
                raise UsageError(f"Inspect can't load the task '{task}': {error}", code="EVAL-060", where="tasks") from error
            raise
        if not logs or logs[0].status != "success":
            reason = logs[0].error.message if logs and logs[0].error else "no log"
            raise SwiftError(f"the task '{task}' failed in Inspect: {reason}", code="EVAL-061", where=str(asked.folder))
        return logs[0]


def _failed(log: dict[str, Any]) -> bool:
    results = log.get("results") or {}
    return int(results.get("completed_samples") or 0) < int(results.get("total_samples") or 0) or not log.get("results")


def _settings(log: dict[str, Any], data: PreparedBenchmark | None, asked: Evaluation) -> dict[str, Any]:
    plan = log.get("plan") or {}
    return {
        "few_shot": asked.few_shot or 0,
        "solvers": [{"solver": each["solver"], "params": each["params"]} for each in plan.get("steps") or ()],
        "scorers": [each["name"] for each in (log.get("results") or {}).get("scores") or ()],
        "data": data.hash() if data else None,
    }
