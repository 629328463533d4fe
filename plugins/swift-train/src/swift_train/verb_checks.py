"""Checks of a training run before it starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_convert.quantize import load_time_problems
from swift_data import resolving

from swift_core.contract import Problem
from swift_train import evaluation_checks

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_core.plugins import Registry


def problems(run: Run, known: Registry) -> Iterator[Problem]:
    """Yield datasets whose rows the task does not accept, quantizers that quantize offline, and evaluations that are lacking."""
    yield from resolving.problems(run, known)
    yield from load_time_problems(run, known)
    yield from evaluation_checks.problems(run)
