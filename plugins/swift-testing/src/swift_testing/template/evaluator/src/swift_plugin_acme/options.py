"""Options of the evaluator: flags, YAML and JSON Schema are made of this class."""

from __future__ import annotations

from swift_core.options.model import Options, option


class AcmeOptions(Options):
    """How a question is asked."""

    max_tokens: int = option(64, "Most tokens of an answer.", ge=1)
    ignore_case: bool = option(True, "Whether capitals make no difference.")
