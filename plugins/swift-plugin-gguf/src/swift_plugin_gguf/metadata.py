"""Hyperparameters of the model as GGUF keys, including rotary embedding scaling."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from swift_core.contract import UsageError
from swift_plugin_gguf.layouts import COMMON, Layout

Value = int | float | str | bool
Vector = np.ndarray[Any, Any]


def model_keys(config: Mapping[str, Any], layout: Layout, checkpoint: Path) -> tuple[dict[str, Value], dict[str, Vector]]:
    """Return the GGUF keys of the model, without the `arch` prefix, and the tensors that its rotary embedding needs.

    Raises:
        UsageError: GGUF can't represent the rotary embedding scaling or the attention scale.
    """
    heads = int(config["num_attention_heads"])
    head = int(config.get("head_dim") or config["hidden_size"] // heads)
    filled = {"num_key_value_heads": heads, **{name: value for name, value in config.items() if value is not None}}
    named = ((key, name) for key, names in {**COMMON, **layout.keys}.items() for name in names.split("|"))
    keys: dict[str, Value] = {key: filled[name] for key, name in named if name in filled}
    if config.get("head_dim"):
        keys |= {"attention.key_length": head, "attention.value_length": head}
    _check_scale(config, head, heads, checkpoint)
    more, vectors = _rope(config, head, checkpoint)
    return keys | more, vectors


def _check_scale(config: Mapping[str, Any], head: int, heads: int, checkpoint: Path) -> None:
    scale = config.get("query_pre_attn_scalar")
    if scale is not None and scale not in (head, config["hidden_size"] // heads):
        message = f"query_pre_attn_scalar is {scale}, which GGUF can't represent"
        raise UsageError(
            message, code="EXPORT-022", where=str(checkpoint / "config.json"), hint=f"GGUF readers use the head size, {head}, instead."
        )


def _rope(config: Mapping[str, Any], head: int, checkpoint: Path) -> tuple[dict[str, Value], dict[str, Vector]]:
    rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    keys: dict[str, Value] = {}
    if "sliding_attention" in rope:  # Gemma 3: separate parameters for sliding-window and full attention
        keys["rope.freq_base_swa"] = float(rope["sliding_attention"]["rope_theta"])
        rope = dict(rope["full_attention"])
    base = float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0)
    size = int(head * float(rope.get("partial_rotary_factor") or config.get("partial_rotary_factor") or 1.0))
    keys |= {"rope.freq_base": base, "rope.dimension_count": size}
    kind = rope.get("rope_type") or rope.get("type") or "default"
    original = rope.get("original_max_position_embeddings") or config.get("original_max_position_embeddings")
    if kind == "default":
        return keys, {}
    if kind == "linear":
        return keys | {"rope.scaling.type": "linear", "rope.scaling.factor": float(rope["factor"])}, {}
    if kind == "yarn":
        yarn: dict[str, Value] = {"rope.scaling.type": "yarn", "rope.scaling.factor": float(rope["factor"])}
        if original:
            yarn["rope.scaling.original_context_length"] = int(original)
        return keys | yarn, {}
    if kind == "llama3":
        return keys, {"rope_freqs.weight": _llama3(rope, base, size)}
    if kind == "longrope" and original:
        scale = config["max_position_embeddings"] / original
        attention = math.sqrt(1 + math.log(scale) / math.log(original)) if scale > 1 else 1.0
        factors = {f"rope_factors_{each}.weight": np.array(rope[f"{each}_factor"], dtype=np.float32) for each in ("long", "short")}
        return keys | {"rope.scaling.original_context_length": int(original), "rope.scaling.attn_factor": attention}, factors
    raise UsageError(
        f"the rotary embedding scaling '{kind}' can't be represented in GGUF",
        code="EXPORT-023",
        where=str(checkpoint / "config.json"),
        hint="Supported: linear, yarn, llama3, longrope.",
    )


def _llama3(rope: Mapping[str, Any], base: float, size: int) -> Vector:
    """Return the divisor of each rotary frequency, as in Llama 3.1: low frequencies are scaled by `factor`, high ones are kept."""
    lengths = 2 * math.pi * base ** (np.arange(0, size, 2) / size)
    low, high = rope.get("low_freq_factor", 1.0), rope.get("high_freq_factor", 4.0)
    old, factor = rope.get("original_max_position_embeddings", 8192), rope.get("factor", 8.0)
    smooth = np.clip((old / lengths - low) / (high - low), 0, 1)
    divisors: Vector = 1 / ((1 - smooth) / factor + smooth)
    return divisors.astype(np.float32)
