"""Options of llama.cpp's quantizer."""

from __future__ import annotations

from typing import Literal

from swift_core.options import Options, option


class LlamaQuantizeOptions(Options):
    """What the file becomes."""

    type: Literal["q2_k", "q3_k_s", "q3_k_m", "q3_k_l", "q4_k_s", "q4_k_m", "q5_k_s", "q5_k_m", "q6_k"] = option(
        "q4_k_m", "Type of the matrices: q2_k to q6_k."
    )
    threads: int = option(0, "Threads; 0: one a core.", ge=0)
