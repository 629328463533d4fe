"""An evaluator in a local plugin: `swift --plugin docs/examples/evaluator_plugin.py eval MODEL --evaluator sums`."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from swift_core import UsageError, hookimpl
from swift_core.contract import EvaluatorSpec, Ref, Scores, Server
from swift_core.options import Options, option

TASKS = {"one-digit": 10, "two-digits": 100}  # name: upper limit of the numbers


class SumsOptions(Options):
    """Options of the evaluator `sums`."""

    questions: int = option(20, "Questions per task.", ge=1)


# -- start swift_evaluators --
@hookimpl
def swift_evaluators() -> list[EvaluatorSpec]:
    """Offer the evaluator: `swift eval --evaluator sums` runs it."""
    summary = "Sums of two numbers, by exact match"
    return [EvaluatorSpec(name="sums", summary=summary, factory=Ref("evaluator_plugin:Sums"), options=Ref("evaluator_plugin:SumsOptions"))]


# -- end swift_evaluators --


class Sums:
    """Asks for sums, and counts the answers that contain the right number."""

    def __init__(self, options: SumsOptions) -> None:
        self.options = options

    def evaluate(self, server: Server, tasks: Sequence[str], out: Path) -> Scores:
        """Return the accuracy on each task, and its standard error."""
        values, errors = {}, {}
        for task in tasks or TASKS:
            if task not in TASKS:
                raise UsageError(f"there is no task '{task}'", where="tasks", hint=f"Tasks: {', '.join(TASKS)}.")
            draw, count = random.Random(0), self.options.questions
            rows = [self.ask(server, draw.randrange(TASKS[task]), draw.randrange(TASKS[task])) for _ in range(count)]
            (out / f"{task}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
            accuracy = sum(bool(row["correct"]) for row in rows) / count
            values[task] = {"accuracy": accuracy}
            errors[task] = {"accuracy": (accuracy * (1 - accuracy) / count) ** 0.5}
        return Scores(values, out, errors)

    def ask(self, server: Server, one: int, other: int) -> dict[str, object]:
        """Ask for one sum."""
        from swift_serve import chat

        question = [{"role": "user", "content": f"What is {one} + {other}? Reply with the number only."}]
        answer = chat(server, question, temperature=0, max_tokens=8)
        return {"one": one, "other": other, "answer": answer, "correct": str(one + other) in answer}
