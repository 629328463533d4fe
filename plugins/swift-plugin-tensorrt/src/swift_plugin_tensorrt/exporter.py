"""Export for TensorRT-LLM: the checkpoint's files, its settings in `config.yml`, and a `trtllm-serve` command in `serve.sh`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from swift_convert.links import link_or_copy

from swift_core.checkpoints import MANIFEST
from swift_core.system import atomic_folder, write_text
from swift_plugin_tensorrt.options import TensorrtOptions
from swift_plugin_tensorrt.support_matrix import check_checkpoint

SETTINGS, COMMAND = "config.yml", "serve.sh"
_IMAGE = "nvcr.io/nvidia/tensorrt-llm/release"


class TensorrtExporter:
    """The `tensorrt` exporter: a folder for `trtllm-serve`."""

    def __init__(self, options: TensorrtOptions) -> None:
        self._options = options

    def export(self, checkpoint: Path, out: Path) -> Path:
        """Write the folder `out`, with hard links to the weights if the file system allows them, and return it.

        Raises:
            UsageError: TensorRT-LLM does not support the checkpoint, or the parallel sizes do not fit it.
        """
        check_checkpoint(checkpoint, self._options)
        with atomic_folder(out) as folder:
            for path in sorted(checkpoint.iterdir()):
                if path.suffix == ".safetensors":
                    link_or_copy(path.resolve(), folder / path.name)
                elif path.is_file() and path.name != MANIFEST:  # a copy, since it may be edited
                    shutil.copyfile(path, folder / path.name)
            write_text(folder / SETTINGS, self._settings())
            write_text(folder / COMMAND, self._command())
        return out

    def _settings(self) -> str:
        """Return the YAML of the settings."""
        options = self._options
        sizes = {"max_batch_size": options.max_batch_size, "max_num_tokens": options.max_num_tokens}
        sizes |= {"max_seq_len": options.max_seq_len} if options.max_seq_len else {}
        sizes |= {"tensor_parallel_size": options.tensor_parallel_size, "pipeline_parallel_size": options.pipeline_parallel_size}
        lines = [f"{name}: {json.dumps(value)}" for name, value in sizes.items()]
        return "\n".join([*lines, "kv_cache_config:", f"  free_gpu_memory_fraction: {options.kv_cache_fraction}"]) + "\n"

    def _command(self) -> str:
        options = self._options
        sizes = f"--max_batch_size {options.max_batch_size} --max_num_tokens {options.max_num_tokens}"
        sizes += f" --max_seq_len {options.max_seq_len}" if options.max_seq_len else ""
        sizes += f" --tp_size {options.tensor_parallel_size} --pp_size {options.pipeline_parallel_size}"
        return (
            "#!/bin/sh\n"
            "# Serves this folder; needs TensorRT-LLM. In NVIDIA's container:\n"
            f'#   docker run --rm -it --ipc host --gpus all -p 8000:8000 -v "$PWD":/model {_IMAGE}:{options.release} /model/{COMMAND}\n'
            'cd "$(dirname "$0")" || exit 1\n'
            f'exec trtllm-serve "$PWD" --host 0.0.0.0 --port 8000 {sizes} --extra_llm_api_options {SETTINGS} "$@"\n'
        )
