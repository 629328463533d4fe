"""Checks of a training run before it starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_convert.quantize import load_time_problems
from swift_data import resolving

from swift_core.contract import CallbackSpec, Problem
from swift_core.plugins import engine_state
from swift_train import evaluation_checks
from swift_train.callbacks import PART

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_core.plugins import Registry


def problems(run: Run, known: Registry) -> Iterator[Problem]:
    """Yield datasets whose rows the task does not accept, offline quantizers, and evaluations and libraries that are lacking."""
    yield from resolving.problems(run, known)
    yield from load_time_problems(run, known)
    yield from evaluation_checks.problems(run)
    for part, choice in run.parts.items():
        if part.startswith(PART) and not (found := engine_state(known.spec(choice, CallbackSpec), choice.distribution)).present:
            hint = f"pip install {' '.join(map(repr, found.missing))}"
            message = f"'{choice.name}' needs {', '.join(found.missing)}, which is not installed"
            yield Problem(code="TRAIN-150", where="callbacks", message=message, hint=hint)
