"""Options of the callback; flags, YAML keys and the JSON Schema are generated from this class."""

from __future__ import annotations

from swift_core.options import Options, option


class AcmeOptions(Options):
    """Options of the callback `acme`."""

    decay: float = option(0.9, "Weight of the previous average in the moving average of the loss.", ge=0, lt=1)
    limit: float = option(3.0, "The training ends if a step's loss is this many times the average.", gt=1)
