"""`--fsdp` with the JSON of transformers, accelerate and ms-swift: the strategy fsdp with the options that it has here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swift_core.contract import UsageError

_SHARDED_GRADIENTS = ("SHARD_GRAD_OP", "shard_grad_op", 2, False)


def words_of(value: str) -> list[str] | None:
    """Return the words that a value of `--fsdp` means; None if it is a name.

    Raises:
        UsageError: the file can't be read, or the text is no JSON object.
    """
    if not value.startswith("{") and not value.endswith(".json"):
        return None
    try:
        config = json.loads(value if value.startswith("{") else Path(value).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        hint = "Give a JSON file or object as transformers has it, or write --parallel fsdp."
        raise UsageError(f"not a configuration of FSDP: {error}", code="TRAIN-274", where="--fsdp", hint=hint) from None
    if not isinstance(config, dict):
        hint = "Write an object, or --parallel fsdp."
        raise UsageError("not a JSON object", code="TRAIN-165", where="--fsdp", hint=hint)
    kind = str(config.get("fsdp") or "").split()
    given = config.get("fsdp_config")
    options = {str(name).removeprefix("fsdp_"): item for name, item in (given if isinstance(given, dict) else config).items()}
    return ["--parallel", "fsdp", *_options(options, kind)]


def _options(options: Mapping[str, Any], kind: list[str]) -> list[str]:
    found: list[str] = []
    if wrapped := options.get("transformer_layer_cls_to_wrap"):
        names = wrapped if isinstance(wrapped, list) else str(wrapped).split(",")
        found += ["--parallel.wrap", *(str(name).strip() for name in names)]
    if options.get("offload_params") or options.get("cpu_offload") or "offload" in kind:
        found += ["--parallel.offload", "true"]
    sharding = options.get("reshard_after_forward", options.get("sharding_strategy", True))
    if sharding in _SHARDED_GRADIENTS or "shard_grad_op" in kind:
        found += ["--parallel.reshard_after_forward", "false"]
    if options.get("activation_checkpointing"):
        found += ["--gradient_checkpointing", "true"]
    return found
