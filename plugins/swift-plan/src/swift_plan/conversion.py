"""The plans of verbs that convert a checkpoint or serve it: formulas over its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.contract import QuantizerSpec
from swift_core.plugins import registry
from swift_plan.formula import loaded_bytes, width_of
from swift_plan.plan import Phase

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_plan.checkpoint_shapes import Shapes

_BLOCK_SHARE = 1.25  # a quantizer holds a block's inputs and statistics beside the weights


def conversion_phases(run: Run, shapes: Shapes, dtype: str) -> tuple[tuple[Phase, ...], dict[str, int]]:
    """Return the phases of a merge, a quantization or an export, and the bytes that it writes."""
    weights = loaded_bytes(shapes, dtype, None)
    written = weights
    adapter = sum(_size(Path(source.path)) for source in run.adapters.values())
    extra = 0
    if quantizer := run.parts.get("quantizer"):
        if registry().spec(quantizer, QuantizerSpec).when == "offline" or run.verb == "quantize":
            written = loaded_bytes(shapes, dtype, quantizer)
            extra = int(weights / max(1, shapes.layers) * _BLOCK_SHARE) + (written if quantizer.options.get("bits") else 0)
    else:  # a merge and an export compute one matrix at a time
        extra = max((weight.count for weight in shapes.weights.values()), default=0) * 4
    parts = {"weights": weights, "adapter": adapter}
    return (Phase("load", parts), Phase("step", {**parts, "temporary": extra}), Phase("save", parts)), {"output": written}


def serving_phases(run: Run, shapes: Shapes, dtype: str, *, tokens: int, requests: int) -> tuple[Phase, ...]:
    """Return the phases of a server: weights, adapters, and the KV cache of so many requests of so many tokens each."""
    weights = loaded_bytes(shapes, dtype, run.parts.get("quantizer"))
    adapter = sum(_size(Path(source.path)) for source in run.adapters.values())
    cache = kv_bytes_per_token(shapes, dtype) * tokens * requests
    logits = shapes.vocabulary * requests * 4
    return (
        Phase("load", {"weights": weights, "adapter": adapter}),
        Phase("step", {"weights": weights, "adapter": adapter, "kv cache": cache, "logits": logits}),
    )


def kv_bytes_per_token(shapes: Shapes, dtype: str) -> int:
    """Return the bytes of keys and values of one token, over all layers."""
    return shapes.layers * shapes.kv_width * width_of(dtype)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors")) if folder.is_dir() else 0
