"""Options of the `torchao` quantizer."""

from __future__ import annotations

from typing import Literal

from swift_core.options import Names, Options, option


class TorchaoOptions(Options):
    """Weight-only quantization: activations are not quantized."""

    kind: Literal["int8", "fp8"] = option("int8", "8-bit type: int8 with one scale per row, or fp8 (E4M3).")
    skip: Names = option(list, "Modules not to quantize, in addition to those of the model family.")
