"""AutoAWQ as a quantizer. This module runs in the engine's environment, which alone has the library."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swift_convert import transformers4
from swift_convert.quantize import check_source

from swift_core.checkpoints import Checkpoint
from swift_core.contract import UsageError
from swift_plugin_autoawq.options import AutoAwqOptions

_BLOCK = 512  # AutoAWQ concatenates the rows and divides them into blocks of this many tokens; it drops longer rows


class AutoAwq:
    """AWQ (https://arxiv.org/abs/2306.00978) through AutoAWQ, layer by layer, in the GEMM layout."""

    def __init__(self, options: AutoAwqOptions) -> None:
        self.options = options

    def quantize(self, checkpoint: Path, out: Path, calibration: Path | None) -> Mapping[str, Any]:
        """Write the quantized checkpoint, with its tokenizer, to `out`.

        `calibration` is a JSON Lines file with one row per line, as `ids` or `text`.

        Raises:
            UsageError: this is not a safetensors checkpoint, there are no calibration rows, or AutoAWQ lacks the architecture.
        """
        check_source(checkpoint)
        rows = transformers4.calibration(calibration, checkpoint)
        import torch
        from awq import AutoAWQForCausalLM
        from awq.models.auto import AWQ_CAUSAL_LM_MODEL_MAP

        kind = Checkpoint.at(checkpoint).config.get("model_type")
        if kind not in AWQ_CAUSAL_LM_MODEL_MAP:
            raise UsageError(
                f"AutoAWQ does not support the model type {kind}", code="QUANT-003", where=str(checkpoint), hint="Use awq or awq-native."
            )
        options = self.options
        blocks = [ids[at : at + _BLOCK] for ids in rows for at in range(0, len(ids), _BLOCK)]
        tokens = sum(map(len, blocks))
        torch.manual_seed(0)
        _clone_saved_weights()
        with tempfile.TemporaryDirectory(prefix="autoawq-") as folder:
            older = transformers4.older_view(checkpoint, Path(folder, "model"))
            model = AutoAWQForCausalLM.from_pretrained(str(older), trust_remote_code=False, local_files_only=True)
            model.quantize(
                None,  # the tokenizer is needed for text only
                quant_config={
                    "zero_point": True,  # required by the GEMM layout
                    "q_group_size": options.group_size,
                    "w_bit": options.bits,
                    "version": "GEMM",
                    "modules_to_not_convert": list(dict.fromkeys(options.skip)) or None,
                },
                calib_data=blocks,
                n_parallel_calib_samples=options.parallel_rows,
                max_calib_samples=len(blocks),
                max_calib_seq_len=min(_BLOCK, tokens),
            )
            model.save_quantized(str(out))
        transformers4.as_the_source(checkpoint, out, dtype="float16")
        return {"calibration_tokens": tokens}


def _clone_saved_weights() -> None:
    """Make AutoAWQ's scale search save copies of the weights.

    The search modifies weights in place and restores them from `.cpu()`, which on a CPU is not a copy, so that they are lost.
    """
    from awq.quantize.quantizer import AwqQuantizer

    search = AwqQuantizer._compute_best_scale

    def search_with_copies(self: Any, x: Any, w_mean: Any, x_mean: Any, module: Any, *more: Any) -> Any:
        state_dict = module.state_dict
        module.state_dict = lambda: {name: tensor.clone() for name, tensor in state_dict().items()}
        try:
            return search(self, x, w_mean, x_mean, module, *more)
        finally:
            del module.state_dict

    AwqQuantizer._compute_best_scale = search_with_copies
