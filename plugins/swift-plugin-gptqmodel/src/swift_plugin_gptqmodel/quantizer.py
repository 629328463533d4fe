"""GPTQModel's methods as quantizers. This module runs in the engine's environment, which alone has the library."""

from __future__ import annotations

import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_convert.quantize import calibration_rows, check_source
from swift_formats.files import copy_tokenizer
from swift_formats.generation_config import repaired_generation_config

from swift_core.system import write_json
from swift_plugin_gptqmodel.options import AwqOptions, GptqOptions

if TYPE_CHECKING:
    from torch.nn import Module


class Native(ABC):
    """The part common to both methods: GPTQModel, layer by layer, with the method's configuration."""

    own_reader = True

    def __init__(self, options: GptqOptions | AwqOptions) -> None:
        self.options = options

    @abstractmethod
    def config(self, **shared: Any) -> Any:
        """Return GPTQModel's configuration of the method; `shared` has the arguments of both methods."""

    def quantize(self, checkpoint: Path, out: Path, calibration: Path | None) -> Mapping[str, Any]:
        """Write the quantized checkpoint, with its tokenizer, to `out`.

        `calibration` is a JSON Lines file with one row per line, as `ids` or `text`.

        Raises:
            UsageError: this is not a safetensors checkpoint, or there are no calibration rows.
        """
        check_source(checkpoint)
        os.environ.setdefault("GPTQMODEL_CPU_WORKERS", str(max(2, os.cpu_count() or 2)))  # a single worker deadlocks
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
        repaired_generation_config(model.model.generation_config)
        model.quantize(_batches(rows), batch_size=1, tokenizer=tokenizer, calibration_data_min_length=1)
        model.save(str(out))
        copy_tokenizer(checkpoint, out)
        _remove_run_details(out)
        return {"calibration_tokens": sum(map(len, rows))}

    def load(self, checkpoint: Path) -> Module:
        """Load the result in transformers, which reads it with GPTQModel and optimum."""
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM.from_pretrained(checkpoint, dtype="auto", local_files_only=True)


class Gptq(Native):
    """GPTQ (https://arxiv.org/abs/2210.17323): columns are quantized one by one, compensating the error of those before."""

    options: GptqOptions

    def config(self, **shared: Any) -> Any:
        """Return the configuration of GPTQ."""
        from gptqmodel.quantization.config import FORMAT, GPTQConfig

        options = self.options
        return GPTQConfig(desc_act=options.act_order, damp_percent=options.dampening, format=FORMAT(options.format), **shared)


class Awq(Native):
    """AWQ (https://arxiv.org/abs/2306.00978): weights are scaled by activation size before rounding."""

    options: AwqOptions

    def config(self, **shared: Any) -> Any:
        """Return the configuration of AWQ, in AutoAWQ's layout (GEMM)."""
        from gptqmodel.quantization.config import AWQConfig

        return AWQConfig(**shared)


def _batches(rows: list[list[int]]) -> list[dict[str, list[int]]]:
    return [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in rows]


def _remove_run_details(out: Path) -> None:
    """Remove the timings and temporary paths that GPTQModel writes, so that equal runs give equal files."""
    (out / "quant_log.csv").unlink(missing_ok=True)
    for file in (out / "config.json", out / "quantize_config.json"):
        config = json.loads(file.read_text(encoding="utf-8"))
        config.get("quantization_config", config)["meta"].pop("offload_to_disk_path", None)
        write_json(file, config)
