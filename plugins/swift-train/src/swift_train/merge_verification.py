"""Verify a merge: the logits of the merged weights equal those of base + adapters, and every adapter has an effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from swift_convert import verify

from swift_core.contract import SwiftError
from swift_train.processors import tokenizer_of

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

TOLERANCE = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}
"""Maximum logit difference that rounding the merged weights to a dtype explains, relative to the largest absolute logit."""

PROMPTS = (
    "The capital of France is",
    "Q: What is 2 + 3?\nA:",
    "def fibonacci(n):\n    ",
    "《论语》是一部记录孔子及其弟子言行的书。",
)

MAX_KL = {"float32": 1e-4, "float16": 1e-3, "bfloat16": 2e-2}
"""Maximum KL divergence on held-out text, in nats per token, that rounding to a dtype explains."""


def check_logits(expected: Sequence[Tensor], found: Sequence[Tensor], effect: float, dtype: str, adapter: Path) -> dict[str, float]:
    """Check the logits of the merged model against those of base + adapter.

    The difference must be within what rounding to `dtype` explains, and below half of the adapter's effect: a merge that lost the
    adapter differs by all of its effect.

    Args:
        expected: logits of base + adapter for each prompt, (length, vocabulary).
        found: those of the merged model.
        effect: the largest change of a logit by the adapter.
        dtype: dtype of the merged files.
        adapter: folder named in the error.

    Returns:
        `max_logit_difference`, `tolerance` and `adapter_effect`.

    Raises:
        SwiftError: the difference is larger, or NaN.
    """
    found_difference = max_difference(expected, found)
    tolerance = min(TOLERANCE[dtype] * max(float(rows.abs().max()) for rows in expected), effect / 2)
    if not found_difference <= tolerance:  # also if it is NaN
        raise SwiftError(
            f"the merged model differs from base + adapter: maximum logit difference {found_difference:.3g}, allowed {tolerance:.3g} "
            f"(the adapter's effect is {effect:.3g})",
            code="TRAIN-044",
            where=str(adapter),
            hint=f"The update is too small for {dtype}: merge with --dtype float32."
            if dtype != "float32"
            else "Serve base and adapter without merging.",
        )
    return {"max_logit_difference": found_difference, "tolerance": tolerance, "adapter_effect": effect}


def check_divergence(figures: Mapping[str, float], max_kl: float | None, dtype: str, adapter: Path) -> None:
    """Check the KL divergence on held-out text against `max_kl`, or by default the limit of the dtype.

    Raises:
        SwiftError: the limit is exceeded, or a figure is not finite.
    """
    problem, hint = "the merged model is too far from base + adapter", "Merge with --dtype float32 to avoid rounding."
    verify.require_divergence_below(figures, max_kl or MAX_KL[dtype], str(adapter), hint, problem)


def encode_prompts(processor: Any) -> list[Tensor]:
    """Return the fixed prompts as token ids, each (1, length)."""
    tokenizer = tokenizer_of(processor)
    return [tokenizer(text, return_tensors="pt")["input_ids"] for text in PROMPTS]


@torch.no_grad()
def prompt_logits(model: Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Compute the logits of each prompt, (length, vocabulary), float32 on the CPU; the hidden states of a model without a head."""
    model.eval()
    device = next(model.parameters()).device
    return [model(input_ids=ids.to(device), use_cache=False)[0][0].float().cpu() for ids in inputs]


def max_difference(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Return the largest absolute difference of a logit over all prompts."""
    return max(float((first - second).abs().max()) for first, second in zip(one, other, strict=True))
