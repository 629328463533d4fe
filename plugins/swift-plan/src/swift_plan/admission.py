"""Whether a run may start: its plan by formulas, and a trace only where the formula leaves it in doubt.

A formula costs milliseconds and is within about a third, so it decides the clear cases. A run is refused if even its weights, gradients and
optimizer are too large, or if its traced step is. See docs/decisions/0042.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from swift_core.contract import Problem, SwiftError
from swift_core.system import fingerprint

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_plan.plan import Plan

_DOUBT = 1.4  # a formula's peak times this may be the real one
_HINT = "swift plan, with the same options, lists changes with which it fits; --force starts it all the same."

_plans: dict[str, Plan | None] = {}


def problems(run: Run) -> Iterator[Problem]:
    """Yield the problem of a training that can't fit, or a note if it may not."""
    plan = plan_for(run)
    if plan is None or "task" not in run.parts:
        return
    memory, force = plan.device.memory, bool(run.options.get("force"))
    if not memory:
        return
    from swift_plan.text import size

    where, device = "model", f"{plan.device.title} has {size(memory)}"
    if plan.processes > 1 and plan.device.kind == "cpu":
        device += " for each process"
    if plan.least > memory:
        message = f"at least {size(plan.least)} of memory are needed, and {device}"
        yield Problem(code="PLAN-009", where=where, message=message, hint=_HINT, fatal=not force)
    elif plan.method == "trace" and not plan.fits:
        message = f"the step needs {size(plan.peak)} of memory, and {device}"
        yield Problem(code="PLAN-010", where=where, message=message, hint=_HINT, fatal=not force)
    elif plan.method == "formula" and plan.peak > memory:
        message = f"about {size(plan.peak)} of memory are estimated, and {device}"
        yield Problem(code="PLAN-011", where=where, message=message, hint=_HINT, fatal=False)


def plan_for(run: Run) -> Plan | None:
    """Return the plan of a run on this machine, computed once; None if it is not wanted, or the run is carried out elsewhere."""
    if run.model is None or not run.options.get("plan", True) or not _here(run):
        return None
    key = fingerprint(run)
    if key not in _plans:
        _plans[key] = _planned(run)
    return _plans[key]


def _planned(run: Run) -> Plan | None:
    try:
        return _plan(run)
    except (SwiftError, OSError, ValueError, TypeError, KeyError, ArithmeticError):
        return None  # the loader reports what is wrong with the checkpoint; a defect of the planner must not stop a run


def _plan(run: Run) -> Plan:
    from swift_plan.devices import this_device
    from swift_plan.planning import plan_of

    device = this_device(run)
    plan = plan_of(run, device, traced=False)
    in_doubt = plan.device.memory and plan.least <= plan.device.memory < _DOUBT * plan.peak
    if "task" in run.parts and in_doubt:
        return plan_of(run, device, traced=True)
    return plan


def _here(run: Run) -> bool:
    from swift_core.contract import LauncherSpec
    from swift_core.plugins import registry

    launcher = run.parts.get("launcher")
    return launcher is None or not registry().spec(launcher, LauncherSpec).nodes
