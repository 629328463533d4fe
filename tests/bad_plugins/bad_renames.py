"""Gives the items new ids in every run."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import EvaluatorSpec, Ref

SWIFT_EXAMPLES = Ref("faults.evaluators:EXAMPLES")


@hookimpl
def swift_evaluators():
    return [EvaluatorSpec(name="renames", summary="Does it badly", factory=Ref("faults.evaluators:Renames"))]
