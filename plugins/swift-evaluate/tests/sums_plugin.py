"""An evaluator of sums, as a local plugin."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core import UsageError, hookimpl
from swift_core.contract import EvaluatorSpec, Ref, Server
from swift_core.options import Options, option

if TYPE_CHECKING:
    from swift_evaluate import Answer, Evaluation, Question, Scores

TASKS = {"one-digit": 10, "two-digits": 100}  # name: upper limit of the numbers


class SumsOptions(Options):
    """Options of the evaluator `sums`."""

    questions: int = option(20, "Questions per task.", ge=1)


@hookimpl
def swift_evaluators() -> list[EvaluatorSpec]:
    """Offer the evaluator: `swift eval --evaluator sums` runs it."""
    summary = "Sums of two numbers, by exact match"
    return [EvaluatorSpec(name="sums", summary=summary, factory=Ref("sums_plugin:Sums"), options=Ref("sums_plugin:SumsOptions"))]


class Sums:
    """Asks for sums, and counts the answers that contain the right number."""

    def __init__(self, options: SumsOptions) -> None:
        self.options = options

    def evaluate(self, server: Server, asked: Evaluation) -> Scores:
        """Ask for every sum and record the answers; swift computes the accuracy and its interval from them."""
        from swift_evaluate import Scores, ask_all

        for task in asked.tasks or TASKS:
            if task not in TASKS:
                raise UsageError(f"there is no task '{task}'", where="tasks", hint=f"Tasks: {', '.join(TASKS)}.")
        ask_all(server, [question for task in asked.tasks or TASKS for question in self.questions(task)], asked, score)
        return Scores()

    def questions(self, task: str) -> Iterator[Question]:
        """Yield the questions of a task, the same ones each time."""
        from swift_evaluate import Question

        draw = random.Random(0)
        for number in range(self.options.questions):
            one, other = draw.randrange(TASKS[task]), draw.randrange(TASKS[task])
            text = f"What is {one} + {other}? Reply with the number only."
            messages = [{"role": "user", "content": text}]
            yield Question(task=task, id=str(number), messages=messages, expected=str(one + other), fields={"max_tokens": 8})


def score(question: Question, answer: Answer) -> dict[str, float]:
    """Return the scores of an answer."""
    return {"accuracy": float(question.expected in answer.text)}
