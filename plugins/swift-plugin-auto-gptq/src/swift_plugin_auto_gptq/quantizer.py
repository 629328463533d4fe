"""AutoGPTQ as a quantizer. This module runs in the engine's environment, which alone has the library."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swift_convert import transformers4
from swift_convert.quantize import check_source

from swift_core.contract import UsageError
from swift_plugin_auto_gptq.options import AutoGptqOptions


class AutoGptq:
    """GPTQ (https://arxiv.org/abs/2210.17323) through AutoGPTQ, layer by layer, on CUDA."""

    def __init__(self, options: AutoGptqOptions) -> None:
        self.options = options

    def quantize(self, checkpoint: Path, out: Path, calibration: Path | None) -> Mapping[str, Any]:
        """Write the quantized checkpoint, with its tokenizer, to `out`.

        `calibration` is a JSON Lines file with one row per line, as `ids` or `text`.

        Raises:
            UsageError: this is not a safetensors checkpoint, there are no calibration rows, or there is no CUDA device.
        """
        check_source(checkpoint)
        rows = transformers4.calibration(calibration, checkpoint)
        import torch

        if not torch.cuda.is_available():
            hint = "Use a successor, which needs no GPU: --quantizer gptq, or gptq-native for AutoGPTQ's format."
            raise UsageError("AutoGPTQ needs CUDA, and torch finds no CUDA device", code="QUANT-002", where="quantizer", hint=hint)
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
