"""Export through onnxruntime-genai's model builder, and through torch.onnx for architectures that the builder lacks."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_formats.files import copy_licence

from swift_core.contract import SwiftError
from swift_core.system import atomic_folder
from swift_plugin_onnx.architectures import check_type, export_method
from swift_plugin_onnx.options import OnnxOptions

if TYPE_CHECKING:
    from swift_plugin_onnx.decoder import LoadedDecoder

MAX_KL = {"fp32": 1e-4, "fp16": 0.01, "int8": 0.1, "int4": 1.0}
"""Maximum mean KL divergence from the checkpoint by type, in nats per token; more means that the decoder is broken."""

_MIXED_PRECISION = ("algo_config=k_quant", "matmul_mixed_precision=last_matmul:int8,mixed_layers:int8")


class OnnxExporter:
    """The `onnx` exporter: `model.onnx` with its configuration and tokenizer."""

    def __init__(self, options: OnnxOptions) -> None:
        self._options = options
        self.checked: Mapping[str, Any] = {}

    def export(self, checkpoint: Path, out: Path) -> Path:
        """Write the graph, its configuration and the tokenizer into the folder `out`, and return it.

        Raises:
            UsageError: the architecture or the type is not supported, or the checkpoint is quantized.
            SwiftError: the builder or torch.onnx failed, or the graph does not reproduce the model.
        """
        method = export_method(checkpoint)
        check_type(method, self._options.type)
        with atomic_folder(out) as folder:
            if method == "builder":
                self._build(checkpoint.absolute(), folder)
            else:
                from swift_plugin_onnx.torch_export import export_graph

                self.checked = export_graph(checkpoint, folder, method, self._options.type, self._options.threads)
            copy_licence(checkpoint, folder)
        return out

    @property
    def max_kl(self) -> float:
        """Maximum mean KL divergence from the checkpoint, in nats per token."""
        return MAX_KL[self._options.type]

    def load(self, exported: Path) -> LoadedDecoder:
        """Load the decoder in onnxruntime-genai.

        Raises:
            NotImplementedError: it was built for CUDA.
        """
        if self._options.device != "cpu":
            raise NotImplementedError(f"a decoder for {self._options.device} is not verified")
        from swift_plugin_onnx.decoder import LoadedDecoder

        return LoadedDecoder(exported)

    def _build(self, checkpoint: Path, folder: Path) -> None:
        options = self._options
        more = [f"block_size={options.block_size}"] if options.type in ("int8", "int4") else []
        more += _MIXED_PRECISION if options.type == "int4" and not options.plain else ()
        with tempfile.TemporaryDirectory(prefix="swift-onnx-") as cache:
            command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", str(checkpoint), "-o", str(folder)]
            command += ["-p", options.type, "-e", options.device, "-c", cache, *(["--extra_options", *more] if more else ())]
            threads = {"OMP_NUM_THREADS": str(options.threads)} if options.threads else {}
            offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
            done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, env={**os.environ, **threads, **offline})
        sys.stderr.write(done.stderr)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no output"])[-1]
            raise SwiftError(
                f"the model builder failed: {last}", code="EXPORT-050", where=str(checkpoint), hint="See engine/log.txt in the run folder."
            )
