"""Options of the backend; flags, YAML keys and the JSON Schema are generated from this class."""

from __future__ import annotations

from swift_core.options import Options, option


class AcmeOptions(Options):
    """Options of the backend `acme`."""

    context: int = option(2048, "Maximum context length: tokens of prompt and answer together.", ge=16, also=("max_model_len",))
