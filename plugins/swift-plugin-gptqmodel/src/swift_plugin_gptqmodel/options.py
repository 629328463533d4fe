"""Options of the quantizers; `also` lists the names of other tools."""

from __future__ import annotations

from typing import Literal

from swift_core.options import Names, Options, option


class NativeOptions(Options):
    """Options of both methods."""

    group_size: Literal[-1, 16, 32, 64, 128, 256, 512, 1024] = option(128, "Weights per quantization group; -1: one group per row.")
    skip: Names = option(list, "Modules not to quantize, in addition to those of the model family.", also=("ignore",))


class GptqOptions(NativeOptions):
    """GPTQ (https://arxiv.org/abs/2210.17323)."""

    bits: Literal[2, 3, 4, 8] = option(4, "Bits per weight.", also=("quant_bits",))
    symmetric: bool = option(True, "Symmetric quantization; otherwise each group has a zero point.", also=("sym",))
    act_order: bool = option(
        False,
        "Quantize columns by decreasing activation size (act-order); slower, and some kernels reject it.",
        also=("desc_act",),
    )
    format: Literal["gptq", "gptq_v2"] = option(
        "gptq",
        "Layout of the files: gptq, which engines read; gptq_v2, whose zero points are stored as they are, for asymmetric quantization "
        "in 2 and 3 bits.",
        also=("checkpoint_format",),
    )
    dampening: float = option(
        0.05,
        "Damping: fraction of the mean Hessian diagonal added to the diagonal; higher is safer.",
        gt=0,
        lt=1,
        also=("damp_percent",),
    )


class AwqOptions(NativeOptions):
    """AWQ (https://arxiv.org/abs/2306.00978)."""

    bits: Literal[4] = option(4, "Bits per weight.", also=("quant_bits",))
    symmetric: bool = option(False, "Symmetric quantization; otherwise each group has a zero point, as is usual for AWQ.", also=("sym",))
