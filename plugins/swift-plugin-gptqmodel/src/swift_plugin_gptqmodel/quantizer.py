"""GPTQModel's methods behind one role. This module runs in the engine's own environment; what it imports is there alone."""

from __future__ import annotations

import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_convert.quantize import calibration_rows, check_source

from swift_core.checkpoints.generation_config import mended
from swift_core.checkpoints.manifest import copy_tokenizer
from swift_core.system.paths import write_json
from swift_plugin_gptqmodel.options import AwqOptions, GptqOptions, NativeOptions

if TYPE_CHECKING:
    from torch.nn import Module


class Native(ABC):
    """Quantizes layer by layer; a method says how."""

    own_reader = True

    def __init__(self, options: NativeOptions) -> None:
        self.options = options

    @abstractmethod
    def config(self, **shared: Any) -> Any:
        """GPTQModel's configuration; `shared` is what both methods have."""

    def quantize(self, checkpoint: Path, out: Path, calibration: Path | None) -> Mapping[str, Any]:
        """Write the quantized checkpoint, with its tokenizer, to `out`; `calibration` has a row a line, `ids` or `text`.

        Raises:
            UsageError: there is no checkpoint, or not one of safetensors, or there are no rows.
        """
        check_source(checkpoint)
        os.environ.setdefault("GPTQMODEL_CPU_WORKERS", str(max(2, os.cpu_count() or 2)))  # one worker alone waits for itself
        import torch
        from gptqmodel import GPTQModel
        from transformers import AutoTokenizer

        tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
        rows = calibration_rows(calibration, lambda text: tokenizer(text)["input_ids"])
        torch.manual_seed(0)
        options = self.options
        skipped: dict[str, dict[str, Any]] = {f"-:(.*\\.)?{re.escape(name)}(\\..*)?$": {} for name in dict.fromkeys(options.skip)}
        config = self.config(bits=options.bits, group_size=options.group_size, sym=options.symmetric, dynamic=skipped or None)
        model = GPTQModel.load(str(checkpoint), config)
        mended(model.model.generation_config)
        model.quantize(_batches(rows), batch_size=1, tokenizer=tokenizer, calibration_data_min_length=1)
        model.save(str(out))
        copy_tokenizer(checkpoint, out)
        _leave_out_the_run(out)
        return {"calibration_tokens": sum(map(len, rows))}

    def load(self, checkpoint: Path) -> Module:
        """Load what was written, as transformers does where GPTQModel and optimum are."""
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM.from_pretrained(checkpoint, dtype="auto", local_files_only=True)  # type: ignore[no-any-return]


class Gptq(Native):
    """Weights rounded one column after the other, each making up for the error of the last."""

    options: GptqOptions

    def config(self, **shared: Any) -> Any:
        """GPTQ."""
        from gptqmodel.quantization.config import GPTQConfig

        options = self.options
        return GPTQConfig(desc_act=options.act_order, damp_percent=options.dampening, **shared)


class Awq(Native):
    """Weights scaled before they are rounded."""

    options: AwqOptions

    def config(self, **shared: Any) -> Any:
        """AWQ, laid out as AutoAWQ did (GEMM)."""
        from gptqmodel.quantization.config import AWQConfig

        return AWQConfig(**shared)


def _batches(rows: list[list[int]]) -> list[dict[str, list[int]]]:
    return [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in rows]


def _leave_out_the_run(out: Path) -> None:
    """GPTQModel writes where it kept layers for the while, and how long each took: not the same twice, and of no use to a reader."""
    (out / "quant_log.csv").unlink(missing_ok=True)
    for file in (out / "config.json", out / "quantize_config.json"):
        config = json.loads(file.read_text(encoding="utf-8"))
        config.get("quantization_config", config)["meta"].pop("offload_to_disk_path", None)
        write_json(file, config)
