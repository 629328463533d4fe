"""Gives whatever it has for any revision."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import HubSpec, Ref

SWIFT_EXAMPLES = Ref("faults.hubs:EXAMPLES")


@hookimpl
def swift_hubs():
    return [HubSpec(name="revision", summary="Does it badly", factory=Ref("faults.hubs:AnyRevision"), schemes=("anyrev",))]
