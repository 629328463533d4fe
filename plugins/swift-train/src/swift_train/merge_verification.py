"""That a merge is what it says: the merged weights answer as base + adapter do, token by token, and every adapter has an effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from swift_convert import verify

from swift_core.contract.errors import SwiftError
from swift_train.processors import tokenizer_of

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

TOLERANCE = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}
"""Largest difference of a logit, as a part of the largest logit, that rounding the merged weights to a type explains."""

PROMPTS = (
    "The capital of France is",
    "Q: What is 2 + 3?\nA:",
    "def fibonacci(n):\n    ",
    "《论语》是一部记录孔子及其弟子言行的书。",
)

MAX_KL = {"float32": 1e-4, "float16": 1e-3, "bfloat16": 2e-2}
"""By type: the divergence on held-out text, in nats a token, past which more was lost than by rounding."""


def check_logits(wanted: Sequence[Tensor], found: Sequence[Tensor], effect: float, dtype: str, adapter: Path) -> dict[str, float]:
    """Compare the merged files with base + adapter.

    The difference must be within what rounding to `dtype` explains, and below half of the adapter's effect: a merge that lost the
    adapter differs by all of it.

    Raises:
        SwiftError: it is not.
    """
    found_difference = max_difference(wanted, found)
    tolerance = min(TOLERANCE[dtype] * max(float(rows.abs().max()) for rows in wanted), effect / 2)
    if not found_difference <= tolerance:  # a NaN is no proof either
        raise SwiftError(
            f"the merged model does not answer as base + adapter: a logit differs by {found_difference:.3g}, allowed is {tolerance:.3g} "
            f"(the adapter's effect is {effect:.3g})",
            where=str(adapter),
            hint=f"The update is too small for {dtype}: merge with --dtype float32."
            if dtype != "float32"
            else "Serve the adapter beside its base instead.",
        )
    return {"max_logit_difference": found_difference, "tolerance": tolerance, "adapter_effect": effect}


def check_divergence(figures: Mapping[str, float], max_kl: float | None, dtype: str, adapter: Path) -> None:
    """Hold what was found on held-out text to the limit, `max_kl` or that of the type.

    Raises:
        SwiftError: it is passed, or the result is no number.
    """
    what, less = "the merged model is too far from base + adapter", "--dtype float32 loses nothing by rounding."
    verify.judge(figures, max_kl or MAX_KL[dtype], str(adapter), less, what)


def encode_prompts(processor: Any) -> list[Tensor]:
    """The fixed prompts as token ids, each (1, length)."""
    tokenizer = tokenizer_of(processor)
    return [tokenizer(text, return_tensors="pt")["input_ids"] for text in PROMPTS]


@torch.no_grad()
def prompt_logits(model: Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Logits of each prompt, (length, vocabulary), float32 on the CPU."""
    model.eval()
    device = next(model.parameters()).device
    return [model(input_ids=ids.to(device), use_cache=False).logits[0].float().cpu() for ids in inputs]


def max_difference(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """The largest difference of a logit."""
    return max(float((first - second).abs().max()) for first, second in zip(one, other, strict=True))
