"""`from swift import get_model`: swift-core under the name that code written for ms-swift imports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from swift_core import ask, export, fetch, get_model, merge, pretrain, quantize, serve, sft, train
from swift_core.contract.run import RunResult


def export_awq_model(
    model_type: str | None,
    model_path: str | Path,
    output_dir: str | Path,
    batch_size: int = 1,
    seqlen: int = 512,
    *,
    dataset: Sequence[str] = ("alpaca-en-demo",),
    group_size: int = 128,
    tokens: int = 65_536,
) -> RunResult:
    """Quantize a checkpoint by AWQ: `swift_core.quantize(model_path, "awq", …)`.

    Args:
        model_type: the model family; None takes what the checkpoint's config.json tells.
        model_path: folder or reference of the checkpoint.
        output_dir: folder for the result; it must not exist.
        batch_size: taken, and of no effect: rows are computed one by one.
        seqlen: most tokens of a row to calibrate with.
        dataset: rows to calibrate with; take some like those that the model will see.
        group_size: weights of a row that share a scale.
        tokens: how many tokens to calibrate with, in all.
    """
    return quantize(
        model_path,
        {"name": "awq", "group_size": group_size},
        dataset=list(dataset),
        output=str(output_dir),
        calibration={"tokens": tokens, "max_length": seqlen},
        **({"family": model_type} if model_type else {}),
    )


__all__ = ["ask", "export", "export_awq_model", "fetch", "get_model", "merge", "pretrain", "quantize", "serve", "sft", "train"]
