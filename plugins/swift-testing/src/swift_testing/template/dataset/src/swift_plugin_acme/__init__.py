"""A dataset that comes with the plugin: riddles, as conversations."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import DatasetSpec, Ref


@hookimpl
def swift_datasets() -> list[DatasetSpec]:
    """Return one dataset; a plugin may offer several."""
    return [
        DatasetSpec(
            name="acme",
            summary="Riddles with their answers",
            rows=("chat",),
            factory=Ref("swift_plugin_acme.rows:Acme"),
            options=Ref("swift_plugin_acme.options:AcmeOptions"),
            licence="CC0-1.0",
        )
    ]
