"""An evaluator: exact match over JSONL files of questions and answers."""

from __future__ import annotations

from swift_core import hookimpl
from swift_core.contract import EvaluatorSpec, Ref

SWIFT_EXAMPLES = Ref("swift_plugin_acme.examples:EXAMPLES")  # for `swift plugins check`


@hookimpl
def swift_evaluators() -> list[EvaluatorSpec]:
    """Return one evaluator, which sends its questions to a server."""
    return [
        EvaluatorSpec(
            name="acme",
            summary="Exact match over a JSONL file of questions and answers",
            factory=Ref("swift_plugin_acme.evaluator:Acme"),
            options=Ref("swift_plugin_acme.options:AcmeOptions"),
        )
    ]
