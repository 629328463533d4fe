"""Options of the two methods; other tools' spellings of them are in `also`."""

from __future__ import annotations

from typing import Literal

from swift_core.options.model import Names, Options, option


class NativeOptions(Options):
    """Of both methods."""

    group_size: Literal[-1, 16, 32, 64, 128, 256, 512, 1024] = option(128, "Weights of a row that share a scale; -1: the whole row.")
    skip: Names = option(list, "Modules to leave as they are, beside those that the family names.", also=("ignore",))


class GptqOptions(NativeOptions):
    """GPTQ (https://arxiv.org/abs/2210.17323)."""

    bits: Literal[2, 3, 4, 8] = option(4, "Bits a weight.", also=("quant_bits",))
    symmetric: bool = option(True, "Scales alone; else each group has a zero point too.", also=("sym",))
    act_order: bool = option(
        False, "Round the columns that matter most first; slower to serve, and refused by some kernels.", also=("desc_act",)
    )
    dampening: float = option(
        0.05, "Part of the Hessian's mean diagonal that is added to it; more is steadier.", gt=0, lt=1, also=("damp_percent",)
    )


class AwqOptions(NativeOptions):
    """AWQ (https://arxiv.org/abs/2306.00978)."""

    bits: Literal[4] = option(4, "Bits a weight.", also=("quant_bits",))
    symmetric: bool = option(False, "Scales alone; else each group has a zero point too, as AWQ's own format has.", also=("sym",))
