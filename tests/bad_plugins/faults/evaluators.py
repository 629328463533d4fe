"""An evaluator whose scores depend on the moment."""

from __future__ import annotations

import time

from swift_evaluate.roles import Item, Scores
from swift_serve.client import Client
from swift_testing.kit import Example

from swift_core.contract import SwiftError, UsageError

EXAMPLES = {name: Example(tasks=("arithmetic",)) for name in ("evaluator", "invents", "zero", "again", "renames")}


class Moody:
    def __init__(self, options=None):
        pass

    def evaluate(self, server, asked):
        if list(asked.tasks) != ["arithmetic"]:
            raise UsageError("there is no such task", where="tasks", hint="There is: arithmetic.")
        if asked.recorded:
            return Scores()
        said = Client(server).complete([{"role": "user", "content": "2 + 2"}])
        asked.record(Item(task="arithmetic", id="1", output=said, scores={"accuracy": time.monotonic()}))
        return Scores()


class Inventor(Moody):
    def evaluate(self, server, asked):
        asked.record(Item(task="arithmetic", id="1", scores={"accuracy": 1.0}))
        return Scores()


class Zero(Moody):
    def evaluate(self, server, asked):
        try:
            return super().evaluate(server, asked)
        except SwiftError:
            return Scores(values={"arithmetic": {"accuracy": 0.0}})


class Again(Moody):
    def evaluate(self, server, asked):
        said = Client(server).complete([{"role": "user", "content": "2 + 2"}])
        asked.record(Item(task="arithmetic", id="1", output=said, scores={"accuracy": 1.0}))
        return Scores()


class Renames(Moody):
    def evaluate(self, server, asked):
        said = Client(server).complete([{"role": "user", "content": "2 + 2"}])
        asked.record(Item(task="arithmetic", id=str(time.monotonic()), output=said, scores={"accuracy": 1.0}))
        return Scores()
