"""Limits of vLLM's LoRA support, checked early: vLLM itself rejects an adapter only when it starts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # values of vLLM's --max-lora-rank (0.28)
_DEFAULT = 16
_ROPE = "base_rope.json"  # as `swift_train.rope` writes it


def vllm_notes(adapter: Path) -> Iterator[str]:
    """Yield a message for each feature of the adapter that vLLM does not support, or needs an option for."""
    file = adapter / "adapter_config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    method = str(config.get("peft_type", "?"))
    if method != "LORA":
        yield f"vLLM serves LoRA adapters only, and this is {method}: merge it for vLLM"
        return
    if config.get("use_dora"):
        yield "vLLM does not support DoRA: merge the adapter for vLLM"
    if saved := [name for name in config.get("modules_to_save") or () if name not in ("classifier", "score")]:
        yield f"vLLM does not support modules_to_save ({', '.join(saved)}): merge the adapter for vLLM"
    if config.get("trainable_token_indices"):
        yield "vLLM does not support adapters with new tokens: merge the adapter for vLLM"
    if (adapter / _ROPE).is_file():
        yield "vLLM loads the base with its own position embeddings, and the adapter was trained with others: merge the adapter for vLLM"
    if config.get("bias", "none") != "none" or config.get("lora_bias"):
        yield "vLLM does not support adapters with biases: merge the adapter for vLLM"
    rank = max([int(config["r"]), *(config.get("rank_pattern") or {}).values()])
    if rank > _RANKS[-1]:
        yield f"vLLM supports LoRA ranks up to {_RANKS[-1]}, and this one has rank {rank}: merge the adapter for vLLM"
    elif rank > _DEFAULT:
        yield f"vLLM needs --max-lora-rank {next(each for each in _RANKS if each >= rank)} for LoRA ranks above {_DEFAULT}"
