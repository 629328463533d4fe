"""A parallel strategy: a copy of the model a process, gradients added up. The shortest that keeps what every strategy owes."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract.specs import ParallelSpec, Ref


@hookimpl
def swift_parallel_strategies() -> list[ParallelSpec]:
    """One strategy."""
    return [
        ParallelSpec(
            name="acme",
            summary="A copy of the model a process, gradients added up after the backward pass",
            factory=Ref("swift_plugin_acme.strategy:Acme"),
            options=Ref("swift_plugin_acme.options:AcmeOptions"),
        )
    ]
