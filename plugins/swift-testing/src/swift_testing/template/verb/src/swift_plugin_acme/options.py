"""Options of the verb; flags, YAML keys and the JSON Schema are generated from this class."""

from __future__ import annotations

from swift_core.options import ModelOptions, option


class AcmeOptions(ModelOptions):
    """Options of swift acme."""

    digits: int = option(3, "Significant digits of the figures.", ge=1)
