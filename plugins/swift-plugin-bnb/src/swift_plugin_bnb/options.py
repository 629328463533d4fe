"""Options of the bitsandbytes quantizer."""

from __future__ import annotations

from typing import Literal

from swift_core.options.model import Names, Options, option


class BnbOptions(Options):
    """QLoRA's settings are the defaults: nf4, double quantization (https://arxiv.org/abs/2305.14314)."""

    bits: Literal[4, 8] = option(4, "Bits a weight.", also=("quant_bits", "quantization_bit"))
    kind: Literal["nf4", "fp4"] = option(
        "nf4", "4-bit numbers: nf4, spaced for normally distributed weights, or fp4.", also=("bnb_4bit_quant_type",)
    )
    double_quantization: bool = option(True, "Quantize the 4-bit scales too: 0.4 bits a weight less.", also=("bnb_4bit_use_double_quant",))
    compute_dtype: Literal["auto", "float32", "bfloat16", "float16"] = option(
        "auto", "Type of the products; auto: that of the other weights.", also=("bnb_4bit_compute_dtype",)
    )
    skip: Names = option(list, "Modules to leave as they are, beside those that the family names.", also=("llm_int8_skip_modules",))
