"""A plan as text for a terminal."""

from __future__ import annotations

from swift_plan.plan import Plan

GIB = 2**30


def size(number: float) -> str:
    """Format bytes: 27.7 GiB, 210 MiB, 3.1 KiB; – for none."""
    for unit, name in ((GIB, "GiB"), (2**20, "MiB")):
        if number >= 0.995 * unit:
            return f"{number / unit:.1f} {name}" if unit == GIB or number < 10 * unit else f"{number / unit:.0f} {name}"
    return f"{number / 1024:.1f} KiB" if number else "–"


def seconds(number: float) -> str:
    """Format a time: 3.1 ms, 0.42 s, 12 min, 3.1 h."""
    if number < 0.1:
        return f"{number * 1000:.2g} ms"
    if number < 120:
        return f"{number:.2g} s" if number < 99.5 else f"{number:.0f} s"
    return f"{number / 60:.0f} min" if number < 7200 else f"{number / 3600:.1f} h"


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
        found.append(f"largest micro-batch: {plan.tokens} tokens, sequences of up to {plan.length}")
    if device.kind != "cpu":
        found.append(f"main memory: {size(plan.host)} per process")
    if plan.disk:
        parts = ", ".join(f"{name} {size(value)}" for name, value in plan.disk.items())
        free = f"; {size(plan.disk_free)} are free" if plan.disk_free else ""
        found.append(f"disk: {size(sum(plan.disk.values()))} ({parts}){free}")
    if plan.seconds:
        total = f", {seconds(plan.seconds * plan.steps)} for {_count(plan.steps, 'step')}" if plan.steps else ""
        found.append(f"time: about {seconds(plan.seconds)} per step{total}, limited by {plan.bound}")
    found.append("It fits." if plan.fits else f"It does not fit: too little {' and '.join(plan.limits)}.")
    return found


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


_METHODS = {"trace": "tracing the step", "formula": "formula"}
