"""Options of llama.cpp's quantizer."""

from __future__ import annotations

from typing import Literal

from swift_core.options import Options, option


class LlamaQuantizeOptions(Options):
    """Options of the exporter `gguf-k`."""

    type: Literal[
        "q2_k", "q2_k_s", "q3_k_s", "q3_k_m", "q3_k_l", "q4_k_s", "q4_k_m", "q5_k_s", "q5_k_m", "q6_k",
        "iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq2_m", "iq3_xxs", "iq3_xs", "iq3_s", "iq3_m", "iq4_nl", "iq4_xs",
    ] = option("q4_k_m", "Quantization type, from q2_k to q6_k or from iq1_s to iq4_nl.")  # fmt: skip
    imatrix: str = option("", "Importance matrix: a GGUF file written by llama-imatrix, or a folder written by --to imatrix.")
    threads: int = option(0, "Number of threads; 0: one per CPU core.", ge=0)
