"""Learns other things of two rows at a time than of one."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import ParallelSpec, Ref


@hookimpl
def swift_parallel():
    return [
        ParallelSpec(
            name="bad-joined",
            summary="Does it badly",
            factory=Ref("faults.strategies:Joined"),
            options=Ref("swift_plugin_transformers.ddp_options:DdpOptions"),
        )
    ]
