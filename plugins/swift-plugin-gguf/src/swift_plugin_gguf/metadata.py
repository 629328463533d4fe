"""The model's own numbers as GGUF keys, and the rotary embedding, which newer models stretch in ways of their own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from swift_core.errors import UsageError
from swift_plugin_gguf.layouts import COMMON, Layout

Value = int | float | str | bool
Vector = np.ndarray[Any, Any]


def model_keys(config: Mapping[str, Any], layout: Layout, checkpoint: Path) -> tuple[dict[str, Value], dict[str, Vector]]:
    """GGUF keys of the model, without the arch in front, and the tensors that its rotary embedding needs.

    Raises:
        UsageError: a rotary embedding, or a scale of attention, that GGUF has no way to say.
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
        message = f"query_pre_attn_scalar is {scale}, which a GGUF file can't say"
        raise UsageError(message, where=str(checkpoint / "config.json"), hint=f"Readers take it for the size of a head, {head}.")


def _rope(config: Mapping[str, Any], head: int, checkpoint: Path) -> tuple[dict[str, Value], dict[str, Vector]]:
    given = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    keys: dict[str, Value] = {}
    if "sliding_attention" in given:  # one for each kind of layer: Gemma 3
        keys["rope.freq_base_swa"] = float(given["sliding_attention"]["rope_theta"])
        given = dict(given["full_attention"])
    base = float(given.get("rope_theta") or config.get("rope_theta") or 10_000.0)
    size = int(head * float(given.get("partial_rotary_factor") or config.get("partial_rotary_factor") or 1.0))
    keys |= {"rope.freq_base": base, "rope.dimension_count": size}
    kind = given.get("rope_type") or given.get("type") or "default"
    before = given.get("original_max_position_embeddings") or config.get("original_max_position_embeddings")
    if kind == "default":
        return keys, {}
    if kind == "linear":
        return keys | {"rope.scaling.type": "linear", "rope.scaling.factor": float(given["factor"])}, {}
    if kind == "yarn":
        known = {"rope.scaling.type": "yarn", "rope.scaling.factor": float(given["factor"])}
        return keys | known | ({"rope.scaling.original_context_length": int(before)} if before else {}), {}
    if kind == "llama3":
        return keys, {"rope_freqs.weight": _llama3(given, base, size)}
    if kind == "longrope" and before:
        stretch = config["max_position_embeddings"] / before
        attention = math.sqrt(1 + math.log(stretch) / math.log(before)) if stretch > 1 else 1.0
        factors = {f"rope_factors_{each}.weight": np.array(given[f"{each}_factor"], dtype=np.float32) for each in ("long", "short")}
        return keys | {"rope.scaling.original_context_length": int(before), "rope.scaling.attn_factor": attention}, factors
    raise UsageError(
        f"the rotary embedding is stretched by '{kind}', which a GGUF file can't say",
        where=str(checkpoint / "config.json"),
        hint="Known: linear, yarn, llama3, longrope.",
    )


def _llama3(given: Mapping[str, Any], base: float, size: int) -> Vector:
    """What each frequency is divided by, as in Llama 3.1's own code: long waves are stretched, short ones not."""
    lengths = 2 * math.pi * base ** (np.arange(0, size, 2) / size)
    low, high = given.get("low_freq_factor", 1.0), given.get("high_freq_factor", 4.0)
    old, factor = given.get("original_max_position_embeddings", 8192), given.get("factor", 8.0)
    smooth = np.clip((old / lengths - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)
