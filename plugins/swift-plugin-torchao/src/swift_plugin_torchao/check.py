"""Checks of a run with one of torchao's optimizers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_train.strategy_checks import kind_of

from swift_core.contract import OptimizerSpec, Problem
from swift_core.plugins import engine_state, registry

if TYPE_CHECKING:
    from swift_core.contract import Run


def optimizer_problems(run: Run) -> Iterator[Problem]:
    """Yield that torchao is not installed, or that the run's device can't compute with float8."""
    choice = run.part("optimizer")
    found = engine_state(registry().spec(choice, OptimizerSpec), choice.distribution)
    if not found.present:
        hint = f"pip install {' '.join(map(repr, found.missing))}"
        yield Problem(code="QUANT-016", where="optimizer", message=f"'{choice.name}' needs torchao, which is not installed", hint=hint)
    if choice.name == "adamw-fp8" and kind_of(str(run.options.get("device", "auto"))) == "cpu":
        message = "'adamw-fp8' needs a GPU with float8, but this run is on a CPU"
        yield Problem(code="QUANT-017", where="optimizer", message=message, hint="Use --optimizer adamw-4bit or adamw-torch-8bit.")
