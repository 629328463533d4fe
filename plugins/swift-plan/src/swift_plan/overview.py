"""Which tuners of a model fit on which cards, with and without activation checkpointing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from swift_core.cli import print_table
from swift_core.contract import TunerSpec
from swift_core.plugins import registry
from swift_plan.changes import with_options
from swift_plan.devices import cards
from swift_plan.planning import plan_of
from swift_plan.text import size

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_plan.devices import Device
    from swift_plan.plan import Plan

_PASS = {"batch_size": 1}
_RECOMPUTE = {"gradient_checkpointing": True}


def overview(run: Run, *, as_json: bool, traced: bool) -> int:
    """Print the table: a row per tuner, a column per size of memory; a cell says whether a row at a time fits."""
    sizes: dict[int, list[Device]] = {}
    for card in cards():
        sizes.setdefault(round(card.memory / 2**30), []).append(card)
    reference = next(card for card in cards() if "bfloat16" in card.rates)
    rows, found = [], []
    for tuner in _tuners():
        for recompute in ({}, _RECOMPUTE):
            plan = plan_of(with_options(run, {"tuner": tuner, **_PASS, **recompute}), reference, traced=traced)
            name = f"{tuner}{', checkpointing' if recompute else ''}"
            rows.append([name, size(plan.peak), *("yes" if plan.peak <= least * 2**30 else "–" for least in sizes)])
            found.append({"tuner": tuner, "gradient_checkpointing": bool(recompute), **_json(plan, sizes)})
    if as_json:
        click.echo(json.dumps(found))
        return 0
    print_table(["tuner", "peak", *(f"{least} GiB" for least in sizes)], rows)
    click.echo(f"\nMicro-batches of one row of {plan.length} tokens. Cards:")
    for least, same in sizes.items():
        click.echo(f"  {least} GiB: {', '.join(card.name for card in same)}")
    return 0


def _tuners() -> list[str]:
    """Return the tuners that differ in memory: all weights, an adapter, an adapter on weights in few bits."""
    specs = registry().all(TunerSpec)
    plain = [name for name in ("full", "lora") if any(spec.name == name for spec in specs)]
    return [*plain, *[spec.name for spec in specs if spec.implies][:1]]


def _json(plan: Plan, sizes: dict[int, list[Device]]) -> dict[str, object]:
    fitting = [card.name for least, same in sizes.items() if plan.peak <= least * 2**30 for card in same]
    return {"peak": plan.peak, "method": plan.method, "length": plan.length, "cards": fitting}
