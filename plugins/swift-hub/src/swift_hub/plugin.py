"""The verb `fetch`."""

from __future__ import annotations

from swift_core.contract import Ref, VerbSpec, hookimpl

FETCH = VerbSpec(
    name="fetch",
    summary="Download a model to this machine",
    options=Ref("swift_core.options.common:ModelOptions"),
    takes=("checkpoint",),
    gives="checkpoint",
    positional="model",
    parts={"loader": "transformers"},
    carry_out=Ref("swift_hub.fetch:carry_out"),
    records=False,
)


@hookimpl
def swift_verbs() -> list[VerbSpec]:
    """Return fetch."""
    return [FETCH]
