"""A verb: `swift acme MODEL` counts the parameters of a checkpoint by data type."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import Ref, VerbSpec

SWIFT_EXAMPLES = Ref("swift_plugin_acme.examples:EXAMPLES")  # for `swift plugins check`


@hookimpl
def swift_verbs() -> list[VerbSpec]:
    """Return one verb. Name and summary are plain strings, since `swift --help` reads them from the source."""
    return [
        VerbSpec(
            name="acme",
            summary="Count the parameters of a checkpoint by data type",
            options=Ref("swift_plugin_acme.options:AcmeOptions"),
            takes=("checkpoint",),
            gives="file",
            positional="model",
            job=Ref("swift_plugin_acme.job:count"),
        )
    ]
