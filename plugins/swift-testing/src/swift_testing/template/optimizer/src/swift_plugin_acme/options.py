"""Options of the optimizer; flags, YAML keys and the JSON Schema are generated from this class."""

from __future__ import annotations

from swift_core.options import Options, option


class AcmeOptions(Options):
    """Options of the optimizer `acme`."""

    beta1: float = option(0.9, "Weight of the momentum in the direction of a step.", ge=0, lt=1)
    beta2: float = option(0.99, "Decay of the momentum.", ge=0, lt=1)
    weight_decay: float = option(0.0, "Decoupled weight decay.", ge=0)
