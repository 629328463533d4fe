"""An evaluator in a local plugin: `swift --plugin docs/examples/evaluator_plugin.py eval MODEL --evaluator sums`."""

from __future__ import annotations

from typing import Any, NamedTuple

from swift_core import hookimpl
from swift_core.contract import EvaluatorSpec, Ref, UsageError
from swift_core.options import Options, option


class SumsOptions(Options):
    """Options of the evaluator `sums`."""

    questions: int = option(20, "Questions per task.", ge=1)


@hookimpl
def swift_evaluators() -> list[EvaluatorSpec]:
    """Offer the evaluator: `swift eval --evaluator sums` runs it."""
    return [EvaluatorSpec(name="sums", summary="Sums", factory=Ref("evaluator_plugin:Sums"), options=Ref("evaluator_plugin:SumsOptions"))]


class Sums(NamedTuple):
    """Asks for sums, and counts the answers that contain the right number."""

    options: SumsOptions

    def evaluate(self, server: Any, asked: Any) -> Any:
        """Ask for every sum and record the answers; swift computes the accuracy and its interval from them."""
        from swift_evaluate import Question, Scores, ask_all

        if not all(map(str.isdecimal, asked.tasks)):
            raise UsageError("a task is the number to add to", where="tasks", hint="For example --tasks 1 7.")
        todo = []
        for task, n in ((task, n) for task in asked.tasks or ["1"] for n in range(self.options.questions)):
            say = {"role": "user", "content": f"What is {task} + {n}? Reply with the number only."}
            todo.append(Question(task=task, id=str(n), messages=[say], expected=str(int(task) + n)))
        ask_all(server, todo, asked, lambda question, answer: {"accuracy": float(question.expected in answer.text)})
        return Scores()
