"""Exact match: each question is sent to the server once, and the answer must equal the expected one."""

from __future__ import annotations

import json
from pathlib import Path

from swift_evaluate import Answer, Question, ask_all, question_id
from swift_evaluate.roles import Evaluation, Scores

from swift_core.contract import Server, UsageError
from swift_plugin_acme.options import AcmeOptions


class Acme:
    """Evaluates tasks, each a JSONL file with `question` and `answer` in every row."""

    def __init__(self, options: AcmeOptions) -> None:
        self.options = options

    def evaluate(self, server: Server, asked: Evaluation) -> Scores:
        """Ask all questions and record every answer; the mean score and its interval are computed from them.

        Raises:
            UsageError: a file is missing, or one of its rows has no question or answer.
        """
        ask_all(server, [self._question(task, row) for task in asked.tasks for row in read(Path(task))], asked, self._score)
        return Scores(settings={"ignore_case": self.options.ignore_case})

    def _question(self, task: str, row: dict[str, str]) -> Question:
        messages = [{"role": "user", "content": row["question"]}]
        limit = {"max_tokens": self.options.answer_tokens}
        return Question(task=task, id=question_id(row["question"]), messages=messages, expected=row["answer"], fields=limit)

    def _score(self, question: Question, answer: Answer) -> dict[str, float]:
        return {"exact_match": float(self._normalised(answer.text) == self._normalised(question.expected))}

    def _normalised(self, text: str) -> str:
        text = " ".join(text.split()).rstrip(".")
        return text.casefold() if self.options.ignore_case else text


def read(path: Path) -> list[dict[str, str]]:
    """Read the questions and answers of a task.

    Raises:
        UsageError: the file is missing or empty, or one of its rows has no question or answer.
    """
    if not path.is_file():
        raise UsageError("there is no such file", where=str(path), hint="Name a JSONL file with `question` and `answer` in every row.")
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            rows.append({"question": str(row["question"]), "answer": str(row["answer"])})
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"no question and answer: {error}", where=f"{path}, row {number}", hint="Fix the row.") from error
    if not rows:
        raise UsageError("is empty", where=str(path), hint="Add at least one question.")
    return rows
