"""AutoGPTQ behind the quantizer's role. This module runs in the engine's own environment; what it imports is there alone."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swift_core.checkpoint import checkpoint_format
from swift_core.errors import UsageError
from swift_core.older_transformers import as_the_source, older_view
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
        if checkpoint_format(checkpoint) != "safetensors":
            raise UsageError("not a safetensors checkpoint", where=str(checkpoint), hint="Name the model in safetensors.")
        if calibration is None:
            raise UsageError("there are no rows to calibrate with", where="dataset", hint="Name rows: --dataset FILE.")
        import torch

        if not torch.cuda.is_available():
            hint = "Take a successor, which needs no GPU: gptq, or gptq-native for AutoGPTQ's own format."
            raise UsageError("AutoGPTQ quantizes on CUDA alone, and torch sees none", where="quantizer", hint=hint)
        from auto_gptq import AutoGPTQForCausalLM, BaseQuantizeConfig

        options = self.options
        rows = _rows(calibration, checkpoint)
        torch.manual_seed(0)
        config = BaseQuantizeConfig(
            bits=options.bits,
            group_size=options.group_size,
            sym=options.symmetric,
            desc_act=options.act_order,
            damp_percent=options.dampening,
        )
        with tempfile.TemporaryDirectory(prefix="auto-gptq-") as folder:
            older = older_view(checkpoint, Path(folder, "model"))
            model = AutoGPTQForCausalLM.from_pretrained(str(older), config, local_files_only=True)
            model.quantize(rows)
            model.save_quantized(str(out), use_safetensors=True)
        as_the_source(checkpoint, out, dtype="float16")
        return {"calibration_tokens": sum(len(row["input_ids"]) for row in rows)}


def _rows(file: Path, checkpoint: Path) -> list[dict[str, list[int]]]:
    """Token ids. Of a newer tokenizer, transformers 4 need not know more than its file."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    ids = [row["ids"] if "ids" in row else tokenizer.encode(row["text"]).ids for row in rows]
    return [{"input_ids": each, "attention_mask": [1] * len(each)} for each in ids]
