"""Rows → questions: every row of a task is checked before the first question is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from swift_core.contract import UsageError
from swift_evaluate.asking import Question, question_id
from swift_evaluate.metrics.metric import Metric
from swift_evaluate.rows.choices import Choices, choices_of
from swift_evaluate.rows.files import SourceRow, example_files, read_rows
from swift_evaluate.rows.options import RowsEvaluatorOptions
from swift_evaluate.rows.prompts import Messages, expected_of, messages_of, text_of, with_examples

_IDS = ("id", "task_id", "question_id", "key")
_CLUSTERS = ("cluster", "passage", "subject", "category")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowQuestion(Question):
    """A question with what its answer is scored by. `text` is the prompt as plain text, for log-likelihoods."""

    row: Mapping[str, Any] = field(default_factory=dict)
    accepted: tuple[str, ...] = ()
    choices: Choices | None = None
    text: str = ""


def questions_of(task: str, data: Path, options: RowsEvaluatorOptions, metrics: Sequence[Metric] | None, shots: int) -> list[RowQuestion]:
    """Return the questions of a task.

    Args:
        task: its name.
        data: file or folder with its rows.
        options: how they are asked.
        metrics: checked against each row; None: not yet known.
        shots: number of examples in each prompt.

    Raises:
        UsageError: a row lacks what is needed, has an unknown answer, or the id of another row; there are too few examples.
    """
    return list(_Reader(task=task, data=data, options=options, metrics=metrics, shots=shots).questions())


@dataclass(frozen=True, kw_only=True)
class _Reader:
    task: str
    data: Path
    options: RowsEvaluatorOptions
    metrics: Sequence[Metric] | None
    shots: int

    def questions(self) -> Iterator[RowQuestion]:
        """Yield the questions."""
        places: dict[str, str] = {}
        for source in read_rows(self.data):
            question = self._checked(source)
            if question.id in places:
                message = f"the id '{question.id}' is also that of another row: {places[question.id]}"
                raise UsageError(message, code="EVAL-107", where=source.where, hint="Make the ids unique.")
            places[question.id] = source.where
            yield question

    def _checked(self, source: SourceRow) -> RowQuestion:
        try:
            question = self._question(source)
            for metric in self.metrics or ():
                metric.check(question.row, question.accepted)
        except ValueError as error:
            hint = "Correct the row, or name other fields with the evaluator's options."
            raise UsageError(str(error), code="EVAL-108", where=source.where, hint=hint) from None
        return question

    def _question(self, source: SourceRow) -> RowQuestion:
        row = source.data
        choices = choices_of(row)
        if self.options.answer_by != "generation" and choices is None:
            raise ValueError("log-likelihoods need choices, and the row has none")
        asked, fields = messages_of(source, choices, self.options)
        accepted = expected_of(row, choices, self.options)
        examples = self._examples(source)
        clusters = (self.options.cluster,) if self.options.cluster else _CLUSTERS
        if self.options.cluster and row.get(self.options.cluster) in (None, ""):
            raise ValueError(f"the row has no field '{self.options.cluster}', which is to be its cluster")
        cluster = next((str(row[name]) for name in clusters if row.get(name) not in (None, "")), source.subset)
        sampling = {"max_tokens": self.options.max_tokens, "temperature": self.options.temperature}
        stop = {"stop": list(self.options.stop)} if self.options.stop else {}
        return RowQuestion(
            task=self.task,
            id=_id(source, asked, accepted),
            messages=with_examples(asked, examples),
            expected=accepted[0] if accepted else "",
            cluster=cluster,
            fields={**sampling, **stop, **fields},
            row=row,
            accepted=accepted,
            choices=choices,
            text=text_of(asked, examples),
        )

    def _examples(self, source: SourceRow) -> tuple[tuple[Messages, str], ...]:
        if not self.shots:
            return ()
        file = Path(self.options.few_shot_data) if self.options.few_shot_data else example_files(self.data).get(source.subset)
        if file is None:
            hint = "Name a file with them (few_shot_data), or leave few_shot out."
            raise UsageError(f"there are no examples for few_shot {self.shots}", code="EVAL-109", where=str(self.data), hint=hint)
        found = _read_examples(file, self.options)
        if len(found) < self.shots:
            message = f"few_shot is {self.shots}, but there are only {len(found)} examples"
            raise UsageError(message, code="EVAL-110", where=str(file), hint="Add examples, or use fewer.")
        return found[: self.shots]


@cache
def _cached_examples(file: Path, settings: str) -> tuple[tuple[Messages, str], ...]:
    options = RowsEvaluatorOptions.model_validate_json(settings)
    found = []
    for source in read_rows(file):
        try:
            choices = choices_of(source.data)
            accepted = expected_of(source.data, choices, options)
            asked, _ = messages_of(source, choices, options)
        except ValueError as error:
            raise UsageError(str(error), code="EVAL-111", where=source.where, hint="Correct the example.") from None
        if not accepted:
            raise UsageError("the example has no answer", code="EVAL-112", where=source.where, hint="Add the answer.")
        by_text = choices and options.answer_by == "text-likelihood"
        found.append((asked, choices.texts[choices.right] if choices and by_text else accepted[0]))
    return tuple(found)


def _read_examples(file: Path, options: RowsEvaluatorOptions) -> tuple[tuple[Messages, str], ...]:
    shared = options.model_dump(include={"prompt", "system", "expected", "answer_by"})
    return _cached_examples(file, RowsEvaluatorOptions(**shared).model_dump_json())


def _id(source: SourceRow, asked: Messages, accepted: tuple[str, ...]) -> str:
    """Return the row's own id, within its subset; else a hash of the question and its answers."""
    own = next((str(source.data[name]) for name in _IDS if source.data.get(name) not in (None, "")), "")
    if own:
        return f"{source.subset}/{own}" if source.subset else own
    return question_id(source.subset, list(asked), list(accepted))
