"""Adapters whose base was changed for their training, which engines that load the base themselves do not know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from swift_core.contract import UsageError

_ROPE = "base_rope.json"  # as `swift_train.rope` writes it


def check_plain_bases(engine: str, adapters: Mapping[str, Path]) -> None:
    """Check that adapters belong to their base as it is stored.

    Raises:
        UsageError: one was trained with tokens that the base lacks, or with other position embeddings.
    """
    for name, folder in adapters.items():
        if why := _change(folder):
            message = f"the adapter '{name}' was trained with {why}, and {engine} loads the base as it is stored"
            hint = "Merge the adapter and serve the merged model: swift merge; or use --backend transformers."
            raise UsageError(message, code="SERVE-101", where="adapter", hint=hint)


def _change(folder: Path) -> str:
    if (folder / _ROPE).is_file():
        return "scaled position embeddings"
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return "new tokens" if isinstance(config, dict) and config.get("trainable_token_indices") else ""
