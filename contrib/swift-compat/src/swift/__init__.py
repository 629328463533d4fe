"""swift-core's Python API under the import name of ms-swift: `from swift import get_model`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from swift import checkpoint
from swift_core import ask, export, fetch, get_model, merge, pretrain, quantize, serve, sft, train
from swift_core.contract import RunResult


def export_awq_model(
    model_type: str | None,
    model_path: str | Path,
    output_dir: str | Path,
    batch_size: int = 1,
    seqlen: int = 512,
    *,
    dataset: Sequence[str] = ("alpaca-en-demo",),
    group_size: int | None = None,
    tokens: int = 65_536,
) -> RunResult:
    """Quantize a checkpoint with AWQ, as `swift_core.quantize(model_path, "awq", …)`.

    Args:
        model_type: the model family; None detects it from config.json. If a checkpoint says another one, that counts, with a warning.
        model_path: folder or reference of the checkpoint.
        output_dir: output folder; must not exist.
        batch_size: accepted and ignored: rows are processed one by one.
        seqlen: maximum length of a calibration row in tokens.
        dataset: calibration datasets; they should resemble the model's later inputs.
        group_size: weights per quantization group; None: 128, or a smaller size that divides every layer of a checkpoint.
        tokens: total number of calibration tokens.

    Raises:
        SwiftError: the AWQ engine's environment is missing, or an argument is invalid.
    """
    family, size = checkpoint.facts(Path(model_path), model_type)
    result: RunResult = quantize(
        model_path,
        {"name": "awq", "group_size": group_size or size},
        dataset=list(dataset),
        output=str(output_dir),
        calibration={"tokens": tokens, "max_length": seqlen},
        **({"family": family} if family else {}),
    )
    return result


__all__ = ["ask", "export", "export_awq_model", "fetch", "get_model", "merge", "pretrain", "quantize", "serve", "sft", "train"]
