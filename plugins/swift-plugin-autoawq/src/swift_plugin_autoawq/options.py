"""Options of AutoAWQ; other tools' spellings of them are in `also`."""

from __future__ import annotations

from typing import Literal

from swift_core.options.model import Names, Options, option


class AutoAwqOptions(Options):
    """AWQ (https://arxiv.org/abs/2306.00978) as AutoAWQ has it."""

    bits: Literal[4] = option(4, "Bits a weight.", also=("quant_bits", "w_bit"))
    group_size: int = option(128, "Weights of a row that share a scale; -1: the whole row.", ge=-1, also=("q_group_size",))
    skip: Names = option(list, "Modules to leave as they are, beside those that the family names.", also=("modules_to_not_convert",))
    parallel_rows: int = option(4, "Rows that are computed at once; fewer take less memory.", ge=1, also=("n_parallel_calib_samples",))
