"""The builder, and a check of what it has built: the decoder must answer as the checkpoint does, as far as its type allows."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from swift_core.checkpoint import copy_licence
from swift_core.errors import SwiftError
from swift_core.paths import atomic_folder
from swift_plugin_onnx.architectures import check_architecture
from swift_plugin_onnx.options import OnnxOptions

MOST = {"fp32": 1e-6, "fp16": 1e-3, "int8": 0.05, "int4": 1.0}
"""Mean KL divergence to the checkpoint that a type may have. One that was built wrongly has far more."""

_IMPROVED = ("algo_config=k_quant", "matmul_mixed_precision=last_matmul:int8,mixed_layers:int8")
_ROWS = ((5, 9, 13, 17, 42, 77), (7, 8, 9, 30), (11, 12, 3, 4, 50, 60, 70, 80, 90, 101))  # of any vocabulary


class OnnxExporter:
    """Makes `model.onnx` and what onnxruntime-genai wants beside it."""

    def __init__(self, options: OnnxOptions) -> None:
        self._options = options

    def export(self, checkpoint: Path, out: Path) -> Path:
        """Write the decoder, its configuration and the tokenizer into the folder `out`, and return it.

        Raises:
            UsageError: the builder does not know the architecture, or the checkpoint is quantized.
            SwiftError: the builder failed, or the decoder does not answer as the checkpoint does.
        """
        check_architecture(checkpoint)
        with atomic_folder(out) as folder:
            self._build(checkpoint.absolute(), folder)
            if self._options.device == "cpu":
                self._check(checkpoint, folder)
            copy_licence(checkpoint, folder)
        return out

    def _build(self, checkpoint: Path, folder: Path) -> None:
        options = self._options
        more = [f"block_size={options.block_size}"] if options.type in ("int8", "int4") else []
        more += _IMPROVED if options.type == "int4" and not options.plain else ()
        with tempfile.TemporaryDirectory(prefix="swift-onnx-") as cache:
            command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", str(checkpoint), "-o", str(folder)]
            command += ["-p", options.type, "-e", options.device, "-c", cache, *(["--extra_options", *more] if more else ())]
            threads = {"OMP_NUM_THREADS": str(options.threads)} if options.threads else {}
            offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
            done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, env={**os.environ, **threads, **offline})
        sys.stderr.write(done.stderr)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise SwiftError(f"the builder failed: {last}", where=str(checkpoint), hint="apart/log.txt in the run folder has all it said.")

    def _check(self, checkpoint: Path, folder: Path) -> None:
        """Compare what both expect after a few rows of tokens."""
        import numpy as np
        import onnxruntime_genai
        import torch
        from transformers import AutoModelForCausalLM

        if self._options.threads:
            torch.set_num_threads(self._options.threads)
        source = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32, local_files_only=True).eval()
        model = onnxruntime_genai.Model(str(folder))
        lost = 0.0
        for row in _ROWS:
            params = onnxruntime_genai.GeneratorParams(model)
            params.set_search_options(max_length=len(row) + 1)
            generator = onnxruntime_genai.Generator(model, params)
            generator.append_tokens(np.array([row], dtype=np.int32))
            found = torch.tensor(np.array(generator.get_logits())).float()[0, -1].log_softmax(-1)
            with torch.no_grad():
                wanted = source(input_ids=torch.tensor([row])).logits[0, -1].log_softmax(-1)
            lost += float(torch.nn.functional.kl_div(found, wanted, log_target=True, reduction="sum")) / len(_ROWS)
        sys.stderr.write(f"mean KL divergence to the checkpoint: {lost:.3g}\n")
        if not lost <= MOST[self._options.type]:
            raise SwiftError(
                f"the decoder does not answer as the checkpoint does: a KL divergence of {lost:.3g}, allowed is {MOST[self._options.type]}",
                where=str(checkpoint),
                hint="Choose a --type with more bits." if self._options.type.startswith("int") else "This is a fault of the builder.",
            )
