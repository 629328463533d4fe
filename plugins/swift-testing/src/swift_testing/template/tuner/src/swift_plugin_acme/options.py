"""Options of the tuner: flags, YAML and JSON Schema are made of this class."""

from __future__ import annotations

from swift_core.options.model import Options, option


class AcmeOptions(Options):
    """Which weights learn."""

    biases: bool = option(True, "Whether the biases of the linear layers learn too, where the model has any.")
