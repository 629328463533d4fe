"""Options of the `autoawq` quantizer; `also` lists the names of other tools."""

from __future__ import annotations

from typing import Literal

from swift_core.options import Names, Options, option


class AutoAwqOptions(Options):
    """AWQ (https://arxiv.org/abs/2306.00978) as AutoAWQ implements it."""

    bits: Literal[4] = option(4, "Bits per weight.", also=("quant_bits", "w_bit"))
    group_size: int = option(128, "Weights per quantization group; -1: one group per row.", ge=-1, also=("q_group_size",))
    skip: Names = option(list, "Modules not to quantize, in addition to those of the model family.", also=("modules_to_not_convert",))
    parallel_rows: int = option(4, "Calibration batch size in rows; lower needs less memory.", ge=1, also=("n_parallel_calib_samples",))
