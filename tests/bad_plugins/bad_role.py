"""Builds something that lacks a method of its role."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import HubSpec, Ref


@hookimpl
def swift_hubs():
    return [HubSpec(name="role", summary="Does it badly", factory=Ref("faults.hubs:NoPush"), schemes=("bad",))]
