"""bitsandbytes through transformers, as an argument of the model loader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.nn import Module

    from swift_core.contract import ModelFamily
    from swift_plugin_bnb.options import BnbOptions


_CPU_KERNEL = "support_avx512bf16_for_cpu"  # an attribute of Linear4bit


class BnbQuantizer:
    """Quantization of the linear layers while the model is loaded, except those that the model family or the user excludes."""

    def __init__(self, options: BnbOptions) -> None:
        self.options = options

    def load_arguments(self, family: ModelFamily, dtype: str) -> Mapping[str, Any]:
        """Return the `quantization_config` argument of `from_pretrained`.

        `dtype` is the data type of the other weights, and of matrix products unless `compute_dtype` is set.
        """
        import torch
        from transformers import BitsAndBytesConfig

        config: Any = BitsAndBytesConfig  # it has no type hints
        options = self.options
        skipped = [*family.skip_quantization, *options.skip]
        if options.bits == 8:
            return {"quantization_config": config(load_in_8bit=True, llm_int8_skip_modules=skipped)}
        made = config(
            load_in_4bit=True,
            bnb_4bit_quant_type=options.kind,
            bnb_4bit_use_double_quant=options.double_quantization,
            bnb_4bit_compute_dtype=getattr(torch, dtype if options.compute_dtype == "auto" else options.compute_dtype),
            llm_int8_skip_modules=skipped,
        )
        if options.experts:
            from swift_plugin_bnb.experts import with_experts

            made = with_experts(made)
        return {"quantization_config": made}

    def ready_to_train(self, model: Module) -> None:
        """Disable bitsandbytes' inference kernel for CPUs with AVX512-BF16 in 4-bit layers.

        The first forward pass in evaluation mode repacks the weights for that kernel, which has no backward pass: training then continues
        with wrong gradients and only a warning (bitsandbytes 0.50).
        """
        for module in model.modules():
            if hasattr(module, _CPU_KERNEL):
                setattr(module, _CPU_KERNEL, False)
