"""A parallel strategy: none. One process, one device, the shortest implementation of what every strategy owes."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.specs import ParallelSpec, Ref


@hookimpl
def swift_parallel_strategies() -> list[ParallelSpec]:
    """One strategy."""
    return [
        ParallelSpec(
            name="acme",
            summary="One process on one device",
            factory=Ref("swift_plugin_acme.strategy:Acme"),
            options=Ref("swift_plugin_acme.options:AcmeOptions"),
        )
    ]
