"""Checks of a run whose model has a value head, without importing torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core.contract import ParallelSpec, Problem
from swift_core.plugins import registry

if TYPE_CHECKING:
    from swift_core.contract import Run

_SPLIT = ("tensor", "pipeline")  # options of strategies that split layers over processes
_HINT = "Use --parallel ddp, fsdp or zero2, or train with swift grpo."


def problems(run: Run) -> Iterator[Problem]:
    """Yield a problem if the strategy splits the output layer, or has a model of its own: the value head is on the layer before it."""
    choice = run.parts["parallel"]
    split = [name for name in _SPLIT if int(choice.options.get(name) or 1) > 1]
    if split or registry().spec(choice, ParallelSpec).trains:
        where = f"parallel.{split[0]}" if split else "parallel"
        message = f"'{choice.name}' {f'with {split[0]} parallelism ' if split else ''}does not support the value head of PPO"
        yield Problem(code="RL-048", where=where, message=message, hint=_HINT)
