"""Plans: the memory, disk and time that a run needs, computed before it starts; the command `plan`.

from swift_core.api import resolved
from swift_plan import plan

found = plan(resolved("sft", {"model": "./model", "dataset": ["rows.jsonl"]}), device="rtx3090")
print(found.peak, found.fits)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_plan.devices import Device as Device, cards as cards, device_named as device_named, this_device as this_device
from swift_plan.plan import Phase as Phase, Plan as Plan
from swift_plan.record import PLAN as PLAN, read_plan as read_plan

if TYPE_CHECKING:
    from swift_core.contract import Run


def plan(run: Run, *, device: str = "", trace: bool = True) -> Plan:
    """Compute the plan of a resolved run.

    Args:
        run: the run.
        device: name of a card (`swift plan --cards`); default: the device that the run would use on this machine.
        trace: trace the training step with fake tensors, in another process (some seconds); otherwise use formulas (milliseconds).

    Raises:
        UsageError: there is no such card.
    """
    from swift_plan.planning import plan_of

    return plan_of(run, device_named(device) if device else this_device(run), traced=trace)
