"""Options of the evaluator; flags, YAML keys and the JSON Schema are generated from this class."""

from __future__ import annotations

from swift_core.options import Options, option


class AcmeOptions(Options):
    """Options of the evaluator `acme`."""

    answer_tokens: int = option(64, "Maximum new tokens per answer, unless --max-tokens is given.", ge=1)
    ignore_case: bool = option(True, "Compare answers case-insensitively.")
