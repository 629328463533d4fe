"""Check the values of `config.json` and `generation_config.json` that transformers accepts and later fails on, or silently ignores."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from swift_core.contract import UsageError


def check_rope_types(config: Any, folder: Path) -> None:
    """Check that transformers computes the config's types of rotary position embeddings.

    Args:
        config: transformers' config of the model, whose `rope_parameters` are one mapping, or one per kind of layer.
        folder: the checkpoint, for messages.

    Raises:
        UsageError: it does not know the type.
    """
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    known = ["default", *ROPE_INIT_FUNCTIONS]
    for kind in _rope_types(getattr(config.get_text_config(), "rope_parameters", None)):
        if kind not in known:
            raise UsageError(
                f"transformers has no rotary embedding of type {kind!r} (rope_type)",
                code="MODEL-035",
                where=str(folder / "config.json"),
                hint=f"Known types: {', '.join(known)}. Copy config.json from the model's page again; or upgrade transformers.",
            )


def _rope_types(parameters: Any) -> Iterator[Any]:
    if not isinstance(parameters, Mapping):
        return
    for kind in (parameters.get("rope_type"), parameters.get("type")):
        if kind is not None and kind != "mrope":  # of Qwen2-VL, an older name of the default type
            yield kind
            return
    for inner in parameters.values():
        yield from _rope_types(inner)


def check_eos_token_ids(folder: Path, vocabulary: int) -> None:
    """Check the end-of-sequence tokens of `generation_config.json`: with one that does not exist, completions never end.

    Args:
        folder: the checkpoint.
        vocabulary: number of tokens of the model.

    Raises:
        UsageError: `eos_token_id` has an entry that is not the id of a token.
    """
    path = folder / "generation_config.json"
    if not path.is_file():
        return
    given = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id")
    for token in given if isinstance(given, list) else [given]:
        if token is not None and (type(token) is not int or not 0 <= token < vocabulary):
            raise UsageError(
                f"eos_token_id {token!r} is not the id of one of the model's {vocabulary:,} tokens",
                code="MODEL-036",
                where=str(path),
                hint="Copy generation_config.json from the model's page again, or remove eos_token_id from it.",
            )
