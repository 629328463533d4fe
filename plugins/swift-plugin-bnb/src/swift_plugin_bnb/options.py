"""Options of the `bnb` quantizer."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from swift_core.options import Names, Options, option


class BnbOptions(Options):
    """The defaults are those of QLoRA (https://arxiv.org/abs/2305.14314): nf4 with double quantization."""

    bits: Literal[4, 8] = option(4, "Bits per weight.", also=("quant_bits", "quantization_bit"))
    kind: Literal["nf4", "fp4"] = option(
        "nf4", "4-bit data type: nf4 (for normally distributed weights) or fp4.", also=("bnb_4bit_quant_type",)
    )
    double_quantization: bool = option(True, "Quantize the scales too; saves 0.4 bits per weight.", also=("bnb_4bit_use_double_quant",))
    compute_dtype: Literal["auto", "float32", "bfloat16", "float16"] = option(
        "auto", "Data type of matrix products; auto uses that of the other weights.", also=("bnb_4bit_compute_dtype",)
    )
    experts: bool = option(
        False,
        "Quantize the experts of mixtures too, which are parameters of no linear layer; they are expanded in each forward pass, so that "
        "a training needs gradient_checkpointing to save memory.",
        also=("quantize_moe_experts",),
    )
    skip: Names = option(list, "Modules not to quantize, in addition to those of the model family.", also=("llm_int8_skip_modules",))

    @model_validator(mode="after")
    def _experts_in_four_bits(self) -> Self:
        if self.experts and self.bits != 4:
            raise ValueError("experts are quantized to 4 bits, not to 8")
        return self
