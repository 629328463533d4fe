"""A hub: `acme:./model.zip` refers to the checkpoint in a local archive."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import HubSpec, Ref

SWIFT_EXAMPLES = Ref("swift_plugin_acme.examples:EXAMPLES")  # for `swift plugins check`


@hookimpl
def swift_hubs() -> list[HubSpec]:
    """Return one hub with its scheme, the part of a reference before the colon."""
    return [
        HubSpec(
            name="acme",
            summary="Checkpoints in zip and tar.gz archives",
            schemes=("acme",),
            factory=Ref("swift_plugin_acme.hub:Acme"),
        )
    ]
