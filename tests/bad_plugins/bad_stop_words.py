"""Ignores the texts that an answer should stop at."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import BackendSpec, Ref


@hookimpl
def swift_backends():
    return [
        BackendSpec(
            name="stop-words",
            summary="Does it badly",
            factory=Ref("faults.backends:IgnoresStopWords"),
            reads=("safetensors",),
            adapters=True,
        )
    ]
