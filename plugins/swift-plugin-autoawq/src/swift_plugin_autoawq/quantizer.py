"""AutoAWQ behind the quantizer's role. This module runs in the engine's own environment; what it imports is there alone."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swift_convert import transformers4
from swift_convert.quantize import check_source

from swift_core.checkpoints.manifest import read_config
from swift_core.contract.errors import UsageError
from swift_plugin_autoawq.options import AutoAwqOptions

_LONGEST = 512  # AutoAWQ cuts all rows, put end to end, into pieces of one length, and leaves out a row that is longer


class AutoAwq:
    """AWQ, layer by layer, laid out as GEMM."""

    def __init__(self, options: AutoAwqOptions) -> None:
        self.options = options

    def quantize(self, checkpoint: Path, out: Path, calibration: Path | None) -> Mapping[str, Any]:
        """Write the quantized checkpoint, with its tokenizer, to `out`; `calibration` has a row a line, `ids` or `text`.

        Raises:
            UsageError: there is no checkpoint, or not one of safetensors, or there are no rows.
        """
        check_source(checkpoint)
        rows = transformers4.calibration(calibration, checkpoint)
        import torch
        from awq import AutoAWQForCausalLM
        from awq.models.auto import AWQ_CAUSAL_LM_MODEL_MAP

        kind = read_config(checkpoint).get("model_type")
        if kind not in AWQ_CAUSAL_LM_MODEL_MAP:
            raise UsageError(f"AutoAWQ knows no models of the type {kind}", where=str(checkpoint), hint="Take awq or awq-native.")
        options = self.options
        pieces = [ids[at : at + _LONGEST] for ids in rows for at in range(0, len(ids), _LONGEST)]
        tokens = sum(map(len, pieces))
        torch.manual_seed(0)
        _keep_weights()
        with tempfile.TemporaryDirectory(prefix="autoawq-") as folder:
            older = transformers4.older_view(checkpoint, Path(folder, "model"))
            model = AutoAWQForCausalLM.from_pretrained(str(older), trust_remote_code=False, local_files_only=True)
            model.quantize(
                None,  # it needs a tokenizer for texts alone
                quant_config={
                    "zero_point": True,  # its GEMM layout has no place for numbers without one
                    "q_group_size": options.group_size,
                    "w_bit": options.bits,
                    "version": "GEMM",
                    "modules_to_not_convert": list(dict.fromkeys(options.skip)) or None,
                },
                calib_data=pieces,
                n_parallel_calib_samples=options.parallel_rows,
                max_calib_samples=len(pieces),
                max_calib_seq_len=min(_LONGEST, tokens),
            )
            model.save_quantized(str(out))
        transformers4.as_the_source(checkpoint, out, dtype="float16")
        return {"calibration_tokens": tokens}


def _keep_weights() -> None:
    """AutoAWQ keeps the weights as `.cpu()` gives them while it tries scales in place: on a CPU that is no copy, and they are lost."""
    from awq.quantize.quantizer import AwqQuantizer

    search = AwqQuantizer._compute_best_scale

    def search_with_copies(self: Any, x: Any, w_mean: Any, x_mean: Any, module: Any, *more: Any) -> Any:
        plain = module.state_dict
        module.state_dict = lambda: {name: tensor.clone() for name, tensor in plain().items()}
        try:
            return search(self, x, w_mean, x_mean, module, *more)
        finally:
            del module.state_dict

    AwqQuantizer._compute_best_scale = search_with_copies
