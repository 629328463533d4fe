"""The plan of a server: formulas over its weights, adapters, and the KV cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from swift_plan.conversion import adapter_bytes
from swift_plan.formula import loaded_bytes, width_of
from swift_plan.plan import Phase

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_plan.checkpoint_shapes import Shapes


def serving_phases(run: Run, shapes: Shapes, dtype: str, *, tokens: int, requests: int) -> tuple[Phase, ...]:
    """Return the phases of a server: weights, adapters, and the KV cache of so many requests of so many tokens each."""
    weights = loaded_bytes(shapes, dtype, run.parts.get("quantizer"))
    adapter = sum(adapter_bytes(Path(source.path)) for source in run.adapters.values())
    cache = kv_bytes_per_token(shapes, dtype) * tokens * requests
    logits = shapes.vocabulary * requests * 4
    return (
        Phase("load", {"weights": weights, "adapter": adapter}),
        Phase("step", {"weights": weights, "adapter": adapter, "kv cache": cache, "logits": logits}),
    )


def kv_bytes_per_token(shapes: Shapes, dtype: str) -> int:
    """Return the bytes of keys and values of one token, over all layers."""
    return shapes.layers * shapes.kv_width * width_of(dtype)
