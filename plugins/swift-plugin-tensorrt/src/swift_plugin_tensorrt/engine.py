"""A plain TensorRT engine from an ONNX model, with TensorRT's own parser and builder (its Python API, release 10 and later).

An engine is for the kind of GPU and the release of TensorRT that built it. What grows with the rows (batch and length, whatever their
names) gets one optimization profile. https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/python-api-docs.html
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swift_core.checkpoints.manifest import MANIFEST
from swift_core.contract.errors import SwiftError, UsageError
from swift_core.system.paths import atomic_folder
from swift_plugin_tensorrt.engine_options import EngineOptions

ENGINE = "model.engine"
_OURS = (MANIFEST,)


class EngineExporter:
    """Writes a folder with the engine and all of the source but its graph."""

    def __init__(self, options: EngineOptions) -> None:
        self._options = options

    def export(self, checkpoint: Path, out: Path) -> Path:
        """Build the engine on this machine's GPU, and return its file.

        Raises:
            UsageError: the ONNX model has operators that TensorRT does not know, or sizes that no profile covers.
            SwiftError: TensorRT could not build it.
        """
        plan = _built(graph_of(checkpoint), self._options)
        with atomic_folder(out) as folder:
            (folder / ENGINE).write_bytes(plan)
            for path in sorted(checkpoint.iterdir()):
                if path.is_file() and ".onnx" not in path.name and path.name not in _OURS:
                    shutil.copyfile(path, folder / path.name)
        return out / ENGINE


def graph_of(checkpoint: Path) -> Path:
    """The one ONNX graph of a folder.

    Raises:
        UsageError: it has none, or several.
    """
    found = sorted(checkpoint.glob("*.onnx"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise UsageError(
            f"one ONNX graph is wanted, and there is {names}", where=str(checkpoint), hint="Put each into a folder of its own."
        )
    return found[0]


def profile(shape: Sequence[int], options: EngineOptions) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """The smallest, the usual and the largest shape of an input: the first open size (-1) is the batch, the second the length.

    Raises:
        UsageError: more than two sizes are open, as with a decoder's cache.
    """
    open_sizes = [place for place, size in enumerate(shape) if size < 0]
    if len(open_sizes) > 2:
        raise UsageError(
            f"an input of the shape {list(shape)} has more open sizes than batch and length",
            where="model",
            hint="Decoders with a cache are TensorRT-LLM's: swift export CHECKPOINT --to tensorrt.",
        )
    ends = ((1, 1), (options.batch_size, options.length), (options.max_batch_size, options.max_length))
    return tuple(_filled(shape, dict(zip(open_sizes, end, strict=False))) for end in ends)  # type: ignore[return-value]


def _filled(shape: Sequence[int], sizes: dict[int, int]) -> tuple[int, ...]:
    return tuple(sizes.get(place, size) for place, size in enumerate(shape))


def _built(graph: Path, options: EngineOptions) -> bytes:
    import tensorrt as trt

    builder = trt.Builder(trt.Logger(trt.Logger.WARNING))
    typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)  # in the types that the ONNX model has
    network = builder.create_network(typed)
    parser = trt.OnnxParser(network, trt.Logger(trt.Logger.WARNING))
    if not parser.parse_from_file(str(graph)):
        raise UsageError(
            f"TensorRT can't read it: {_said(parser)}", where=str(graph), hint="Export it with other options, or serve the ONNX."
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
            "TensorRT built no engine", where=str(graph), hint="The log of the run has its reasons; more --workspace may help."
        )
    return bytes(plan)


def _said(parser: Any) -> str:
    return "; ".join(str(parser.get_error(number).desc()) for number in range(parser.num_errors)) or "no reason given"
