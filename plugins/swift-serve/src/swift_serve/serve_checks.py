"""Checks of a server before it is started: signatures, and machines of an engine that spans several."""

from __future__ import annotations

from collections.abc import Iterator

from swift_core.contract import Problem, Run, UsageError
from swift_core.plugins import Registry
from swift_serve import signatures
from swift_serve.engine_nodes import engine_node, spanning


def problems(run: Run, known: Registry) -> Iterator[Problem]:
    """Yield what is wrong with the signatures of the checkpoints, and with the machines of the engine."""
    yield from signatures.problems(run, known)
    try:
        if engine_node(run.options):
            spanning(run.part("backend").build(), run.part("backend").name)
    except UsageError as error:
        yield Problem(code=error.code, where=error.where, message=error.message, hint=error.hint)
