"""The evaluator `own-data`: reads the tasks, asks their questions, and scores the answers with metrics."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from swift_core.contract import Server
from swift_evaluate.asking import Answer, Question, ask_all, chat
from swift_evaluate.metrics.metric import Graded
from swift_evaluate.roles import Evaluation, Scores
from swift_evaluate.rows.likelihood import ask_likelihoods, likelihood_scores
from swift_evaluate.rows.options import RowsEvaluatorOptions
from swift_evaluate.rows.questions import RowQuestion
from swift_evaluate.rows.tasks import Task, read_tasks


class RowsEvaluator:
    """Evaluates a server on the user's own questions."""

    def __init__(self, options: RowsEvaluatorOptions) -> None:
        self.options = options

    def evaluate(self, server: Server, asked: Evaluation) -> Scores:
        """Check every task, then ask the questions of each.

        Raises:
            UsageError: no task is named, or a task or a row is invalid.
            SwiftError: the server failed.
        """
        graders = [_Grader(task) for task in read_tasks(asked.tasks, self.options, asked)]
        values: dict[str, dict[str, float]] = {}
        errors: dict[str, dict[str, float]] = {}
        for grader in graders:
            task = grader.task
            wanted = asked if asked.samples > 1 else replace(asked, samples=task.options.samples)
            request = chat if task.by_generation else partial(ask_likelihoods, by_text=task.by_text)
            ask_all(server, task.questions, wanted, grader.score, request=request)
            summary = grader.summary(wanted)
            values[task.name] = {name: value for name, (value, _) in summary.items()}
            errors[task.name] = {name: error for name, (_, error) in summary.items() if error is not None}
        settings = {"tasks": {grader.task.name: grader.task.settings() for grader in graders}}
        return Scores(values=values, standard_errors=errors, settings=settings)


@dataclass
class _Grader:
    """Scores the answers of a task, and keeps them for scores of the whole task."""

    task: Task
    graded: dict[str, list[Graded]] = field(default_factory=lambda: defaultdict(list))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def score(self, question: Question, answer: Answer) -> Mapping[str, float]:
        """Return the scores of an answer by all metrics."""
        assert isinstance(question, RowQuestion)
        given = self._graded(question, answer.text, answer.message)
        if not self.task.by_generation:
            return likelihood_scores(question, given, by_text=self.task.by_text)
        scores: dict[str, float] = {}
        for metric in self.task.metrics:
            scores |= metric.score(given)
        if self.task.filter.extract:
            scores["extracted"] = float(self.task.filter.matches(answer.text))
        with self.lock:
            self.graded[question.id].append(replace(given, scores=scores))
        return scores

    def summary(self, asked: Evaluation) -> dict[str, tuple[float, float | None]]:
        """Return the scores of the whole task, with the answers of an interrupted run."""
        if not self.task.by_generation:
            return {}
        for question in self.task.questions:
            for sample in range(asked.samples):
                item = asked.recorded.get((question.task, question.id, sample))
                if item and item.status != "failed":
                    self.graded[question.id].append(replace(self._graded(question, item.output, {}), scores=item.scores))
        answers = [self.graded[question.id] for question in self.task.questions if question.id in self.graded]
        found: dict[str, tuple[float, float | None]] = {}
        for metric in self.task.metrics:
            found |= metric.summarize(answers)
        return found

    def _graded(self, question: RowQuestion, output: str, message: Mapping[str, Any]) -> Graded:
        asked = next((str(turn["content"]) for turn in reversed(question.messages) if turn["role"] == "user"), "")
        text = self.task.filter(output) if self.task.by_generation else output
        choices = question.choices.texts if question.choices else {}
        return Graded(text=text, expected=question.accepted, row=question.row, message=message, question=asked, choices=choices)
