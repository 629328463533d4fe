"""An evaluator whose scores depend on the moment."""

from __future__ import annotations

import time

from swift_core import client
from swift_core.errors import UsageError
from swift_core.roles import Scores
from swift_core.testing.kit import Example

EXAMPLES = {"evaluator": Example(tasks=("arithmetic",))}


class Moody:
    def __init__(self, options=None):
        pass

    def evaluate(self, server, tasks, out):
        if list(tasks) != ["arithmetic"]:
            raise UsageError("there is no such task", where="tasks", hint="There is: arithmetic.")
        said = client.complete(server.url, [{"role": "user", "content": "2 + 2"}], model=server.models[0])
        out.mkdir(parents=True)
        (out / "predictions.jsonl").write_text(said)
        return Scores({"arithmetic": {"accuracy": time.monotonic()}}, out)
