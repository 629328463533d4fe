"""A plan as text for a terminal."""

from __future__ import annotations

from swift_plan.plan import Plan

GIB = 2**30


def size(number: float) -> str:
    """Format bytes: 27.7 GiB, 210 MiB, 3.1 KiB."""
    if 0 < number < 2**20:
        return f"{number / 1024:.3g} KiB"
    return f"{number / GIB:.1f} GiB" if number >= GIB else f"{number / 2**20:.3g} MiB" if number else "–"


def seconds(number: float) -> str:
    """Format a time: 0.42 s, 12 min, 3.1 h."""
    return f"{number:.2g} s" if number < 120 else f"{number / 60:.0f} min" if number < 7200 else f"{number / 3600:.1f} h"


def table_of(plan: Plan) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a table: device memory of each phase, by category."""
    names = list(dict.fromkeys(name for phase in plan.phases for name, value in phase.parts.items() if value))
    rows = [
        [phase.name, size(phase.total + plan.overhead), *(size(phase.parts.get(name, 0)) for name in names), size(plan.overhead)]
        for phase in plan.phases
    ]
    return ["phase", "total", *names, "overhead"], rows


def lines(plan: Plan) -> list[str]:
    """Return the rest of a plan in a few lines."""
    device = plan.device
    memory = f" of {size(device.memory)}" if device.memory else ""
    found = [f"peak {size(plan.peak)}{memory} on {device.title}, in the phase {plan.highest.name}, by {_METHODS[plan.method]}"]
    if plan.tokens:
        found.append(f"largest pass: {plan.tokens} tokens, rows of up to {plan.length}")
    if device.kind != "cpu":
        found.append(f"main memory: {size(plan.host)} per process")
    if plan.disk:
        parts = ", ".join(f"{name} {size(value)}" for name, value in plan.disk.items())
        free = f"; {size(plan.disk_free)} are free" if plan.disk_free else ""
        found.append(f"disk: {size(sum(plan.disk.values()))} ({parts}){free}")
    if plan.seconds:
        total = f", {seconds(plan.seconds * plan.steps)} for {plan.steps} steps" if plan.steps else ""
        found.append(f"time: about {seconds(plan.seconds)} per step{total}, limited by {plan.bound}")
    found.append("It fits." if plan.fits else f"It does not fit: too little {' and '.join(plan.limits)}.")
    return found


_METHODS = {"trace": "tracing the step", "formula": "formula"}
