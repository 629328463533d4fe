"""bitsandbytes through transformers: the quantizer is an argument to the loader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_core.contract.specs import ModelFamily
    from swift_plugin_bnb.options import BnbOptions


_PACKS = "support_avx512bf16_for_cpu"  # Linear4bit's own switch


class BnbQuantizer:
    """Quantizes every linear layer while the model is loaded, but those that the family or the user leaves out."""

    def __init__(self, options: BnbOptions) -> None:
        self.options = options

    def load_arguments(self, family: ModelFamily, dtype: str) -> Mapping[str, Any]:
        """`quantization_config` for the loader. `dtype` is that of the weights which stay whole, and what products are computed in."""
        import torch
        from transformers import BitsAndBytesConfig

        config: Any = BitsAndBytesConfig  # which has no type hints
        options = self.options
        skipped = [*family.skip_quantization, *options.skip]
        if options.bits == 8:
            return {"quantization_config": config(load_in_8bit=True, llm_int8_skip_modules=skipped)}
        return {
            "quantization_config": config(
                load_in_4bit=True,
                bnb_4bit_quant_type=options.kind,
                bnb_4bit_use_double_quant=options.double_quantization,
                bnb_4bit_compute_dtype=getattr(torch, dtype if options.compute_dtype == "auto" else options.compute_dtype),
                llm_int8_skip_modules=skipped,
            )
        }

    def ready_to_train(self, model: Module) -> None:
        """Keep 4-bit layers off bitsandbytes' kernel for inference on CPUs with AVX512-BF16.

        The first forward pass in evaluation mode repacks the weights for that kernel, which has no backward pass: training after it
        goes on with wrong gradients, and only a warning says so (0.50).
        """
        for module in model.modules():
            if hasattr(module, _PACKS):
                setattr(module, _PACKS, False)
