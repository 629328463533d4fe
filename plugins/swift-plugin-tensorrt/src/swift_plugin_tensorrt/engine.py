"""A TensorRT engine from an ONNX model, with TensorRT's ONNX parser and builder (its Python API, release 10 and later).

An engine runs only on the GPU architecture and the TensorRT release that built it. The dynamic dimensions (batch and length, whatever their
names) get one optimization profile. https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/python-api-docs.html
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swift_core.checkpoints import MANIFEST
from swift_core.contract import SwiftError, UsageError
from swift_core.system import atomic_folder
from swift_plugin_tensorrt.engine_options import EngineOptions

ENGINE = "model.engine"


class EngineExporter:
    """The `tensorrt-engine` exporter: the engine, and all files of the source but its graph."""

    def __init__(self, options: EngineOptions) -> None:
        self._options = options

    def export(self, checkpoint: Path, out: Path) -> Path:
        """Build the engine on this machine's GPU, and return its path.

        Raises:
            UsageError: TensorRT does not support an operator of the ONNX model, or it has more than two dynamic dimensions.
            SwiftError: TensorRT failed to build it.
        """
        plan = _build(graph_of(checkpoint), self._options)
        with atomic_folder(out) as folder:
            (folder / ENGINE).write_bytes(plan)
            for path in sorted(checkpoint.iterdir()):
                if path.is_file() and ".onnx" not in path.name and path.name != MANIFEST:
                    shutil.copyfile(path, folder / path.name)
        return out / ENGINE


def graph_of(checkpoint: Path) -> Path:
    """Return the one ONNX file of a folder.

    Raises:
        UsageError: there is none, or there are several.
    """
    found = sorted(checkpoint.glob("*.onnx"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise UsageError(
            f"expected one ONNX file, found {names}", code="SERVE-030", where=str(checkpoint), hint="Keep one ONNX model per folder."
        )
    return found[0]


def profile(shape: Sequence[int], options: EngineOptions) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return the minimum, optimum and maximum shape of an input; its first dynamic dimension (-1) is the batch, the second the length.

    Raises:
        UsageError: there are more than two dynamic dimensions, as in a decoder with a KV cache.
    """
    dynamic = [dimension for dimension, size in enumerate(shape) if size < 0]
    if len(dynamic) > 2:
        raise UsageError(
            f"an input of shape {list(shape)} has dynamic dimensions other than batch and length",
            code="SERVE-031",
            where="model",
            hint="Use TensorRT-LLM for decoders with a KV cache: swift export CHECKPOINT --to tensorrt.",
        )

    def filled(batch: int, length: int) -> tuple[int, ...]:
        sizes = dict(zip(dynamic, (batch, length), strict=False))
        return tuple(sizes.get(dimension, size) for dimension, size in enumerate(shape))

    return filled(1, 1), filled(options.batch_size, options.length), filled(options.max_batch_size, options.max_length)


def _build(graph: Path, options: EngineOptions) -> bytes:
    import tensorrt as trt

    builder = trt.Builder(trt.Logger(trt.Logger.WARNING))
    typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)  # keep the types of the ONNX model
    network = builder.create_network(typed)
    parser = trt.OnnxParser(network, trt.Logger(trt.Logger.WARNING))
    if not parser.parse_from_file(str(graph)):
        raise UsageError(
            f"TensorRT can't parse the ONNX model: {_errors(parser)}",
            code="SERVE-032",
            where=str(graph),
            hint="Export it with other options, or use the ONNX model directly.",
        )
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, int(options.workspace * 2**30))
    sizes = builder.create_optimization_profile()
    for number in range(network.num_inputs):
        given = network.get_input(number)
        if any(size < 0 for size in given.shape):
            sizes.set_shape(given.name, *profile(tuple(given.shape), options))
    config.add_optimization_profile(sizes)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise SwiftError(
            "TensorRT failed to build the engine",
            code="SERVE-033",
            where=str(graph),
            hint="See the log of the run; a larger --workspace may help.",
        )
    return bytes(plan)


def _errors(parser: Any) -> str:
    return "; ".join(str(parser.get_error(number).desc()) for number in range(parser.num_errors)) or "no reason given"
