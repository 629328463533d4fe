"""Options of AutoGPTQ; other tools' spellings of them are in `also`."""

from __future__ import annotations

from typing import Literal

from swift_core.options.model import Options, option


class AutoGptqOptions(Options):
    """GPTQ (https://arxiv.org/abs/2210.17323) as AutoGPTQ has it. It can't leave single layers of a block whole: there is no `skip`."""

    bits: Literal[2, 3, 4, 8] = option(4, "Bits a weight.", also=("quant_bits",))
    group_size: int = option(128, "Weights of a row that share a scale; -1: the whole row.", ge=-1)
    symmetric: bool = option(True, "Scales alone; else each group has a zero point too.", also=("sym",))
    act_order: bool = option(False, "Round the columns that matter most first; slower to serve.", also=("desc_act",))
    dampening: float = option(
        0.01, "Part of the Hessian's mean diagonal that is added to it; more is steadier.", gt=0, lt=1, also=("damp_percent",)
    )
