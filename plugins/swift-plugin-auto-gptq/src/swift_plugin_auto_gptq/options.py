"""Options of the `auto-gptq` quantizer; `also` lists the names of other tools."""

from __future__ import annotations

from typing import Literal

from swift_core.options import Options, option


class AutoGptqOptions(Options):
    """GPTQ (https://arxiv.org/abs/2210.17323) in AutoGPTQ, which can't exclude single layers of a block: there is no `skip`."""

    bits: Literal[2, 3, 4, 8] = option(4, "Bits per weight.", also=("quant_bits",))
    group_size: int = option(128, "Weights per quantization group; -1: one group per row.", ge=-1)
    symmetric: bool = option(True, "Symmetric quantization; otherwise each group has a zero point.", also=("sym",))
    act_order: bool = option(False, "Quantize columns by decreasing activation size (act-order); slower inference.", also=("desc_act",))
    dampening: float = option(
        0.01,
        "Damping: fraction of the mean Hessian diagonal added to the diagonal; higher is safer.",
        gt=0,
        lt=1,
        also=("damp_percent",),
    )
