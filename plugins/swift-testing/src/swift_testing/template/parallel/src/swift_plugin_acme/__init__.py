"""A parallel strategy: data parallelism with all-reduced gradients. A minimal implementation of the whole contract."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import ParallelSpec, Ref


@hookimpl
def swift_parallel() -> list[ParallelSpec]:
    """Return one strategy."""
    return [
        ParallelSpec(
            name="acme",
            summary="Data parallelism: a replica per process, gradients all-reduced after the backward pass",
            factory=Ref("swift_plugin_acme.strategy:Acme"),
            options=Ref("swift_plugin_acme.options:AcmeOptions"),
        )
    ]
