"""The plans of verbs that convert a checkpoint: formulas over its weights.

A merge computes in float32, and so does the comparison of an export with its source. A quantizer loads the weights as they are stored; the
comparison then loads them again in the dtype of the run. An export itself converts one matrix at a time.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.contract import QuantizerSpec
from swift_core.plugins import registry
from swift_plan.formula import loaded_bytes, width_of
from swift_plan.plan import Phase

if TYPE_CHECKING:
    from swift_core.contract import Choice, Run
    from swift_plan.checkpoint_shapes import Shapes

_FLOAT = 4  # bytes of a float32 number
_BLOCK_SHARE = 1.25  # a quantizer holds a block's inputs and statistics beside the weights
_COPIES = 2  # of the largest matrix, while it is merged or converted
_HELD_OUT, _ROW = 1024, 256  # tokens that are compared by default, and those of one row
_BITS = re.compile(r"\d+")
_SCALES = 0.5  # bits per weight that the scales of an export in few bits take


def conversion_phases(run: Run, shapes: Shapes, dtype: str) -> tuple[tuple[Phase, ...], dict[str, int]]:
    """Return the phases of a merge, a quantization or an export, and the bytes that it writes.

    Args:
        run: the run.
        shapes: of its model.
        dtype: in which the run loads weights to compute with them.
    """
    largest = _COPIES * _FLOAT * max((weight.count for weight in shapes.weights.values()), default=0)
    if exporter := run.parts.get("exporter"):
        compared = _compared(run, shapes, shapes.parameters * _FLOAT)
        return (Phase("step", {"temporary": largest}), *compared), {"output": exported_bytes(shapes, exporter)}
    if quantizer := run.parts.get("quantizer"):
        return _quantization(run, shapes, dtype, quantizer, largest)
    parts = {"weights": shapes.parameters * _FLOAT, "adapter": sum(adapter_bytes(Path(source.path)) for source in run.adapters.values())}
    asked = str(run.options.get("dtype", "auto"))
    written = shapes.parameters * width_of(shapes.dtype if asked == "auto" else asked)
    phases = Phase("load", parts), Phase("step", {**parts, "temporary": largest}), *_compared(run, shapes, parts["weights"])
    return phases, {"output": written}


def _quantization(run: Run, shapes: Shapes, dtype: str, quantizer: Choice, largest: int) -> tuple[tuple[Phase, ...], dict[str, int]]:
    stored, written = loaded_bytes(shapes, shapes.dtype, None), loaded_bytes(shapes, shapes.dtype, quantizer)
    if registry().spec(quantizer, QuantizerSpec).when == "offline":
        parts, extra = {"weights": stored}, int(stored / max(1, shapes.layers) * _BLOCK_SHARE)
    else:
        parts, extra = {"weights": written}, largest
    compared = _compared(run, shapes, loaded_bytes(shapes, dtype, None))
    return (Phase("load", parts), Phase("step", {**parts, "temporary": extra}), *compared), {"output": written}


def _compared(run: Run, shapes: Shapes, weights: int) -> tuple[Phase, ...]:
    """Return the phase in which a result is compared with its source on held-out text; none if the run leaves it out."""
    verify = run.options.get("verify", True)
    if verify is False:
        return ()
    tokens = int(verify["tokens"]) if isinstance(verify, dict) else _HELD_OUT
    return (Phase("evaluate", {"weights": weights, "logits": min(tokens, _ROW) * shapes.vocabulary * _FLOAT}),)


def exported_bytes(shapes: Shapes, exporter: Choice) -> int:
    """Return the size of an export: matrices with the bits that its option `type` names (`q8_0`, `int4`, `bfloat16`), else as stored."""
    found = _BITS.search(str(exporter.options.get("type", "")))
    if found is None:
        return shapes.stored
    bits = int(found[0]) + (_SCALES if int(found[0]) < 16 else 0)
    matrices = sum(weight.count for weight in shapes.weights.values() if len(weight.shape) > 1)
    return int(matrices * bits / 8) + (shapes.parameters - matrices) * _FLOAT


def adapter_bytes(folder: Path) -> int:
    """Return the bytes of an adapter's weights."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors")) if folder.is_dir() else 0
