"""Asks again what an interrupted run has answered."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import EvaluatorSpec, Ref

SWIFT_EXAMPLES = Ref("faults.evaluators:EXAMPLES")


@hookimpl
def swift_evaluators():
    return [EvaluatorSpec(name="again", summary="Does it badly", factory=Ref("faults.evaluators:Again"))]
