"""Options of the tuner; flags, YAML keys and the JSON Schema are generated from this class."""

from __future__ import annotations

from swift_core.options import Options, option


class AcmeOptions(Options):
    """Options of the tuner `acme`."""

    biases: bool = option(True, "Train the biases of the linear layers too, if the model has any.")
