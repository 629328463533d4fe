"""Options of the backend: flags, YAML and JSON Schema are made of this class."""

from __future__ import annotations

from swift_core.options.model import Options, option


class AcmeOptions(Options):
    """How it serves."""

    context: int = option(2048, "Most tokens of a prompt and its answer together.", ge=16, also=("max_model_len",))
