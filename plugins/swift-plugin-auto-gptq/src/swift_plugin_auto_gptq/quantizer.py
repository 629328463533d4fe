"""AutoGPTQ behind the quantizer's role. This module runs in the engine's own environment; what it imports is there alone."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swift_convert import transformers4
from swift_convert.quantize import check_source

from swift_core.contract.errors import UsageError
from swift_plugin_auto_gptq.options import AutoGptqOptions


class AutoGptq:
    """GPTQ, layer by layer, on CUDA."""

    def __init__(self, options: AutoGptqOptions) -> None:
        self.options = options

    def quantize(self, checkpoint: Path, out: Path, calibration: Path | None) -> Mapping[str, Any]:
        """Write the quantized checkpoint, with its tokenizer, to `out`; `calibration` has a row a line, `ids` or `text`.

        Raises:
            UsageError: there is no checkpoint, or not one of safetensors, or there are no rows, or no CUDA.
        """
        check_source(checkpoint)
        rows = transformers4.calibration(calibration, checkpoint)
        import torch

        if not torch.cuda.is_available():
            hint = "Take a successor, which needs no GPU: gptq, or gptq-native for AutoGPTQ's own format."
            raise UsageError("AutoGPTQ quantizes on CUDA alone, and torch sees none", where="quantizer", hint=hint)
        from auto_gptq import AutoGPTQForCausalLM, BaseQuantizeConfig

        options = self.options
        torch.manual_seed(0)
        config = BaseQuantizeConfig(
            bits=options.bits,
            group_size=options.group_size,
            sym=options.symmetric,
            desc_act=options.act_order,
            damp_percent=options.dampening,
        )
        with tempfile.TemporaryDirectory(prefix="auto-gptq-") as folder:
            older = transformers4.older_view(checkpoint, Path(folder, "model"))
            model = AutoGPTQForCausalLM.from_pretrained(str(older), config, local_files_only=True)
            model.quantize([{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in rows])
            model.save_quantized(str(out), use_safetensors=True)
        transformers4.as_the_source(checkpoint, out, dtype="float16")
        return {"calibration_tokens": sum(map(len, rows))}
