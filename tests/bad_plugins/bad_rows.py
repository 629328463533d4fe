"""Gives other rows than it says."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import DatasetSpec, Ref


@hookimpl
def swift_datasets():
    return [DatasetSpec(name="rows", summary="Does it badly", factory=Ref("faults.datasets:Texts"), rows=("chat",))]
