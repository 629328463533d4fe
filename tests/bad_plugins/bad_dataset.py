"""Gives its rows in another order every time."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import DatasetSpec, Ref


@hookimpl
def swift_datasets():
    return [DatasetSpec(name="dataset", summary="Does it badly", factory=Ref("faults.datasets:Shuffled"), rows=("text",))]
