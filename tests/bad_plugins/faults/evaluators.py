"""An evaluator whose scores depend on the moment."""

from __future__ import annotations

import time

from swift_serve.client import Client
from swift_testing.kit import Example

from swift_core.contract import Scores, SwiftError, UsageError

EXAMPLES = {name: Example(tasks=("arithmetic",)) for name in ("evaluator", "invents", "zero")}


class Moody:
    def __init__(self, options=None):
        pass

    def evaluate(self, server, tasks, out):
        if list(tasks) != ["arithmetic"]:
            raise UsageError("there is no such task", where="tasks", hint="There is: arithmetic.")
        said = Client(server).complete([{"role": "user", "content": "2 + 2"}])
        out.mkdir(parents=True, exist_ok=True)
        (out / "predictions.jsonl").write_text(said)
        return Scores({"arithmetic": {"accuracy": time.monotonic()}}, out)


class Inventor(Moody):
    def evaluate(self, server, tasks, out):
        return Scores({"arithmetic": {"accuracy": 1.0}}, out)


class Zero(Moody):
    def evaluate(self, server, tasks, out):
        try:
            return super().evaluate(server, tasks, out)
        except SwiftError:
            return Scores({"arithmetic": {"accuracy": 0.0}}, out)
