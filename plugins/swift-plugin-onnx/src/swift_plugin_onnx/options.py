"""Options of the ONNX exporter."""

from __future__ import annotations

from typing import Literal

from swift_core.options import Options, option


class OnnxOptions(Options):
    """Options of the `onnx` exporter."""

    type: Literal["fp32", "fp16", "int8", "int4"] = option("fp32", "Type of the matrices: fp32, fp16, int8 or int4.", also=("precision",))
    device: Literal["cpu", "cuda"] = option("cpu", "Device that the decoder is built for; cuda is not verified.")
    block_size: Literal[16, 32, 64, 128, 256] = option(32, "Weights per quantization scale (int8, int4).")
    plain: bool = option(False, "int4 with round-to-nearest for every matrix, without 8-bit ones; smaller, with a much higher error.")
    threads: int = option(0, "Number of CPU threads; 0 uses torch's default.", ge=0)
