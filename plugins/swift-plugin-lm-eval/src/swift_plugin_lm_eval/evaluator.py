"""lm-eval as an evaluator. This module runs in the engine's environment, which alone has the library."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_evaluate.offline import offline_if_local
from swift_evaluate.prepare import read_prepared
from swift_evaluate.roles import Evaluation, Scores
from swift_evaluate.thinking import thinking_mark
from swift_serve.client import Client

from swift_core.contract import Server, UsageError
from swift_plugin_lm_eval import results as read
from swift_plugin_lm_eval.tasks import RUNS_CODE, local_tasks, write_task

if TYPE_CHECKING:
    from swift_plugin_lm_eval.model import ServedModel
    from swift_plugin_lm_eval.options import LmEvalOptions

ANSWERS = "answers.jsonl"


class LmEval:
    """Runs lm-eval's tasks against a server: multiple choice by log-likelihoods of plain text, generation as chat."""

    def __init__(self, options: LmEvalOptions) -> None:
        self.options = options

    def evaluate(self, server: Server, asked: Evaluation) -> Scores:
        """Evaluate, and record the items of each task when it is done.

        Raises:
            UsageError: a task is unknown, or executes code.
            SwiftError: the server failed, or does not return log-probabilities of prompts.
        """
        tasks = asked.tasks or tuple(asked.data)
        with offline_if_local(tasks, asked):
            from lm_eval.tasks import TaskManager

            from swift_plugin_lm_eval.model import ServedModel

            if asked.interrupted and (asked.interrupted / ANSWERS).is_file():
                shutil.copy(asked.interrupted / ANSWERS, asked.folder / ANSWERS)
            mark = thinking_mark(asked.checkpoint)
            model = ServedModel(server, asked, asked.folder / ANSWERS, thinking_end=mark)
            work = _Work(asked, model, TaskManager(include_path=list(self.options.include) or None), self.options.system)
            for task in tasks:
                work.run(task)
        if work.failed:
            Client(server).models()  # if the server has ended, the evaluation has failed, and not its questions
        values = {task: scores for task, scores in work.values.items() if task not in work.failed}
        versions = {"lm-eval": metadata.version("lm-eval"), "thinking_removed_until": mark, "tasks": work.settings}
        return Scores(values=values, settings=versions)


@dataclass
class _Work:
    """The tasks of an evaluation: how they are run, and what they have given so far."""

    asked: Evaluation
    model: ServedModel
    manager: Any  # lm-eval's TaskManager
    system: str
    values: dict[str, dict[str, float]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    def run(self, task: str) -> None:
        """Run a task, and record its items."""
        loaded = self.manager.load(self._specs(task))["tasks"]
        if code := next((name for name, each in loaded.items() if each.config.unsafe_code), ""):
            message = f"lm-eval executes the code generated in '{code}' without a sandbox"
            raise UsageError(message, code="EVAL-046", where="tasks", hint="Use an evaluator that executes code in the sandbox.")
        chats = {name: each for name, each in loaded.items() if each.config.output_type == "generate_until"}
        choices = {name: each for name, each in loaded.items() if name not in chats}
        for sample in range(self.asked.samples):
            if chats:
                self.model.sample = sample
                self._evaluate(task, chats, chat=True)
        if choices:
            self.model.sample = 0
            self._evaluate(task, choices, chat=False)

    def _specs(self, task: str) -> list[str]:
        """Return what lm-eval loads for a task: task files for local data, else its own name."""
        manager, data = self.manager, self.asked.data
        if task not in data:
            if task in RUNS_CODE or (task not in manager.all_tasks and not Path(task).is_file()):
                raise UsageError(f"lm-eval has no task '{task}'", code="EVAL-047", where="tasks", hint="lm-eval ls tasks lists them.")
            return [task]
        folder = self.asked.folder / "tasks"
        folder.mkdir(exist_ok=True)
        specs = []
        for each in local_tasks(read_prepared(data[task]), self.asked):
            if each.includes and each.includes not in manager.task_index:
                message = f"lm-eval has no task '{each.includes}' for a subset of {task}"
                raise UsageError(message, code="EVAL-048", where=str(data[task]), hint="Prepare the data without this subset.")
            included = Path(manager.task_index[each.includes].yaml_path) if each.includes else None
            specs.append(str(write_task(each, folder, included)))
        return specs

    def _evaluate(self, task: str, loaded: Mapping[str, Any], *, chat: bool) -> None:
        from lm_eval import simple_evaluate

        asked, model = self.asked, self.model
        results: Mapping[str, Any] = simple_evaluate(
            model=model,
            tasks=list(loaded.values()),
            num_fewshot=asked.few_shot if task not in asked.data else None,
            limit=asked.limit or None,
            log_samples=True,
            bootstrap_iters=0,
            apply_chat_template=chat,
            system_instruction=(self.system or None) if chat else None,
            task_manager=self.manager,
            fewshot_random_seed=asked.seed,
        )
        for name in loaded:
            samples, config = results["samples"][name], results["configs"][name]
            several = len(loaded) > 1
            text = loaded[name].doc_to_text
            for item in read.items(task, name, samples, config, sample=model.sample, status=model.status, text=text, clustered=several):
                asked.record(item)
                if item.status == "failed":
                    self.failed.add(task)
            self.settings.setdefault(task, {})[name] = read.settings(results, name)
        if asked.samples == 1 or not chat:  # else lm-eval's number is that of one sample only
            self.values.setdefault(task, {}).update(read.scores(results, list(loaded), results["configs"]))
