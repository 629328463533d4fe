"""Gives the same answers other scores."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import EvaluatorSpec, Ref

SWIFT_EXAMPLES = Ref("faults.evaluators:EXAMPLES")


@hookimpl
def swift_evaluators():
    return [EvaluatorSpec(name="evaluator", summary="Does it badly", factory=Ref("faults.evaluators:Moody"))]
