"""Falls over without a network."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import HubSpec, Ref


@hookimpl
def swift_hubs():
    return [HubSpec(name="hub", summary="Does it badly", factory=Ref("faults.hubs:Fragile"), schemes=("fragile",))]
