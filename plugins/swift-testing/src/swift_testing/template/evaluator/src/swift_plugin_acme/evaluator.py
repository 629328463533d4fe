"""Exact match: each question is sent to the server once, at temperature 0, and the answer must equal the expected one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swift_serve.client import Client

from swift_core.contract import Scores, Server, UsageError
from swift_core.system import paths
from swift_plugin_acme.options import AcmeOptions


class Acme:
    """Evaluates tasks, each a JSONL file with `question` and `answer` in every row."""

    def __init__(self, options: AcmeOptions) -> None:
        self.options = options

    def evaluate(self, server: Server, tasks: Sequence[str], out: Path) -> Scores:
        """Ask all questions, save every answer in `out`, and return the fraction of correct answers.

        Raises:
            UsageError: a file is missing, or one of its rows has no question or answer.
        """
        values = {}
        for task in tasks:
            predictions = [self._ask(server, row) for row in read(Path(task))]
            lines = [json.dumps(prediction, ensure_ascii=False) for prediction in predictions]
            paths.write_text(out / f"{Path(task).stem}.jsonl", "\n".join(lines) + "\n")
            correct = sum(prediction["correct"] for prediction in predictions)
            values[task] = {"exact_match": correct / len(predictions), "questions": float(len(predictions))}
        return Scores(values, out)

    def _ask(self, server: Server, row: dict[str, str]) -> dict[str, Any]:
        question = [{"role": "user", "content": row["question"]}]
        given = Client(server).complete(question, temperature=0, max_tokens=self.options.max_tokens)
        return {**row, "given": given, "correct": self._normalised(given) == self._normalised(row["answer"])}

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
