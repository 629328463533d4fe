"""Goes on with its rows where it was left."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import DatasetSpec, Ref


@hookimpl
def swift_datasets():
    return [DatasetSpec(name="goes-on", summary="Does it badly", factory=Ref("faults.datasets:GoesOn"), rows=("text",))]
