"""What the servers of adapters make of one: vLLM loads LoRA of linear layers alone, and says so only when it starts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM's --max-lora-rank may be (0.28)
_DEFAULT = 16


def vllm_notes(adapter: Path) -> Iterator[str]:
    """What vLLM would refuse, or wants to be told, in words."""
    file = adapter / "adapter_config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    method = str(config.get("peft_type", "?"))
    if method != "LORA":
        yield f"vLLM serves LoRA adapters, and this is {method}: merge it to serve it there"
        return
    if config.get("use_dora"):
        yield "vLLM does not serve DoRA: merge it to serve it there"
    if saved := [name for name in config.get("modules_to_save") or () if name not in ("classifier", "score")]:
        yield f"vLLM does not serve adapters with modules_to_save ({', '.join(saved)}): merge it to serve it there"
    if config.get("bias", "none") != "none" or config.get("lora_bias"):
        yield "vLLM does not serve adapters with biases: merge it to serve it there"
    rank = max([int(config["r"]), *(config.get("rank_pattern") or {}).values()])
    if rank > _RANKS[-1]:
        yield f"vLLM serves ranks up to {_RANKS[-1]}, and this is {rank}: merge it to serve it there"
    elif rank > _DEFAULT:
        yield f"vLLM wants to be told of a rank above {_DEFAULT}: --max-lora-rank {next(each for each in _RANKS if each >= rank)}"
