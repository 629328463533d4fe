"""A task: its rows, how they are asked, and its metrics; from a file of rows or a YAML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core.contract import UsageError
from swift_core.options import Invalid, read_yaml
from swift_core.system import digest, sha256
from swift_evaluate.metrics.ifeval import INSTRUCTIONS
from swift_evaluate.metrics.metric import Metric, find_metric
from swift_evaluate.roles import Evaluation
from swift_evaluate.rows import likelihood
from swift_evaluate.rows.filters import AnswerFilter, thinking_marks
from swift_evaluate.rows.options import RowsEvaluatorOptions, TaskFile
from swift_evaluate.rows.questions import RowQuestion, questions_of

_YAML = (".yaml", ".yml")


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task that has been checked."""

    name: str
    data: Path
    options: RowsEvaluatorOptions
    questions: list[RowQuestion]
    metrics: list[Metric]
    metric_names: list[Any]
    filter: AnswerFilter
    shots: int

    @property
    def by_generation(self) -> bool:
        """True if the model writes its answers."""
        return self.options.answer_by == "generation"

    @property
    def by_text(self) -> bool:
        """True if the log-likelihoods of the texts of the choices are compared."""
        return self.options.answer_by == "text-likelihood"

    def settings(self) -> dict[str, Any]:
        """Return what decides the scores, as JSON."""
        files = sorted(path for path in self.data.rglob("*") if path.is_file()) if self.data.is_dir() else [self.data]
        options = self.options.model_dump(mode="json", exclude={"data", "metrics"})
        scored = [
            {"metric": name, "version": metric.version, **metric.model_dump(mode="json")}
            for name, metric in zip(self.metric_names, self.metrics, strict=True)
        ]
        if not self.by_generation:
            scored = [{"metric": self.options.answer_by, "version": likelihood.VERSION}]
        marks = [list(mark) for mark in self.filter.marks] if self.by_generation else []
        return {
            **options,
            "few_shot": self.shots,
            "data": str(self.data),
            "data_hash": digest([sha256(file) for file in files]),
            "metrics": scored,
            "thinking_marks": marks,
        }


def read_tasks(names: Sequence[str], defaults: RowsEvaluatorOptions, asked: Evaluation) -> list[Task]:
    """Return tasks, checked.

    Raises:
        UsageError: no task is named, or one is not valid, as `read_task`.
    """
    if not names:
        hint = "Name files of rows, or YAML files of tasks: --tasks questions.jsonl."
        raise UsageError("no task given", code="EVAL-095", where="tasks", hint=hint)
    return [read_task(name, defaults, asked) for name in names]


def read_task(name: str, defaults: RowsEvaluatorOptions, asked: Evaluation) -> Task:
    """Return a task by its name in `asked.data`, or by the path of its rows or of its YAML file.

    Raises:
        UsageError: there is no such task, or something in it is invalid.
    """
    path = asked.data.get(name, Path(name))
    if name not in asked.data and not path.exists():
        hint = f"Tasks are files of rows or YAML files{', or names of --data: ' + ', '.join(asked.data) if asked.data else ''}."
        raise UsageError(f"there is no task '{name}': no such file", code="EVAL-113", where="tasks", hint=hint)
    options, data = _read_yaml(path, defaults) if path.suffix in _YAML else (defaults, path)
    samples = asked.samples if asked.samples > 1 else options.samples
    if samples > 1 and not (asked.temperature or options.temperature):
        hint = "Set the temperature, such as 0.7."
        raise UsageError(f"{samples} samples per question would be equal: decoding is greedy", code="EVAL-114", where=str(path), hint=hint)
    shots = options.few_shot if asked.few_shot is None else asked.few_shot
    questions = questions_of(name, data, options, None, shots)
    given = options.metrics or [_usual_metric(questions[0])]
    place = "metrics" if options.metrics == defaults.metrics else str(path)
    metrics = [_metric(entry, place) for entry in given]
    names = [entry if isinstance(entry, str) else entry["name"] for entry in given]
    if options.answer_by != "generation" and options.metrics:
        hint = "Omit metrics: log-likelihoods are scored by accuracy."
        raise UsageError("metrics score generated answers, and answer_by is a likelihood", code="EVAL-115", where=str(path), hint=hint)
    for metric, label in zip(metrics, names, strict=True):
        if metric.runs_code and not asked.allow_code:
            hint = "Allow it with --allow-code; it runs in the sandbox (docs/how-to/sandbox.md)."
            raise UsageError(f"the metric '{label}' executes generated code", code="EVAL-116", where=str(path), hint=hint)
    if options.answer_by == "generation":
        questions = questions_of(name, data, options, metrics, shots)
    marks = thinking_marks(asked.checkpoint) if options.thinking == "strip" else ()
    chosen = AnswerFilter(marks=marks, extract=options.extract)
    return Task(name=name, data=data, options=options, questions=questions, metrics=metrics, metric_names=names, filter=chosen, shots=shots)


def _usual_metric(question: RowQuestion) -> str:
    """Return the metric of rows of this layout."""
    if question.choices:
        return "choice"
    if INSTRUCTIONS in question.row:
        return "ifeval"
    return "tool-call" if isinstance(question.row.get("tool_calls"), list) else "exact"


def _read_yaml(path: Path, defaults: RowsEvaluatorOptions) -> tuple[RowsEvaluatorOptions, Path]:
    """Return the options of a task file and its data; options of the command line take precedence."""
    values = read_yaml(path).values
    try:
        read = TaskFile.checked({**values, **defaults.chosen()})
    except Invalid as error:
        raise error.with_context(where=str(path)) from None
    folder = path.parent
    shots = {"few_shot_data": str(folder / read.few_shot_data)} if read.few_shot_data and "few_shot_data" in values else {}
    return read.model_copy(update=shots), folder / read.data


def _metric(entry: Any, where: str) -> Metric:
    if isinstance(entry, str):
        return find_metric(entry, where=where)
    if isinstance(entry, Mapping) and isinstance(entry.get("name"), str):
        return find_metric(entry["name"], {key: value for key, value in entry.items() if key != "name"}, where=where)
    raise UsageError(f"{entry!r} names no metric", code="EVAL-117", where=where, hint="Write a name, or {name: …, option: …}.")
