"""Learns something else on two processes than on one."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import ParallelSpec, Ref


@hookimpl
def swift_parallel():
    return [
        ParallelSpec(
            name="bad-strategy",
            summary="Does it badly",
            factory=Ref("faults.strategies:Halved"),
            options=Ref("swift_plugin_transformers.ddp_options:DdpOptions"),
        )
    ]
