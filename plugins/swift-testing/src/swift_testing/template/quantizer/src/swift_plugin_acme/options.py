"""Options of the quantizer; flags, YAML keys and the JSON Schema are generated from this class."""

from __future__ import annotations

from swift_core.options import Names, Options, option


class AcmeOptions(Options):
    """Options of the quantizer `acme`."""

    skip: Names = option(list, "Modules to exclude from quantization, in addition to those of the model family.")
