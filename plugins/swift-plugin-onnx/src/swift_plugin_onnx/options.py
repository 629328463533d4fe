"""Options of the ONNX exporter."""

from __future__ import annotations

from typing import Literal

from swift_core.options.model import Options, option


class OnnxOptions(Options):
    """What the decoder computes in, and on what."""

    type: Literal["fp32", "fp16", "int8", "int4"] = option("fp32", "Type of the matrices: fp32, fp16, int8, int4.", also=("precision",))
    device: Literal["cpu", "cuda"] = option("cpu", "What the decoder is made for; one for CUDA is not checked.")
    block_size: Literal[16, 32, 64, 128, 256] = option(32, "Weights that share a scale, with int8 and int4.")
    plain: bool = option(False, "With int4: round every matrix to nearest, and keep none in eight bits; smaller, and much worse.")
    threads: int = option(0, "Threads of the builder; 0: as many as torch takes.", ge=0)
