"""Goes on after a stop without the optimizer's state."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import ParallelSpec, Ref


@hookimpl
def swift_parallel():
    return [
        ParallelSpec(
            name="bad-resume",
            summary="Does it badly",
            factory=Ref("faults.strategies:Forgetful"),
            options=Ref("swift_plugin_transformers.ddp_options:DdpOptions"),
        )
    ]
