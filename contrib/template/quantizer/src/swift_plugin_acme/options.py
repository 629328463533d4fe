"""Options of the quantizer: flags, YAML and JSON Schema are made of this class."""

from __future__ import annotations

from swift_core.options import Options, option


class AcmeOptions(Options):
    """How coarse the weights become."""

    bits: int = option(8, "Bits a weight.", ge=2, le=8, also=("quant_bits", "quantization_bit"))
