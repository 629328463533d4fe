"""Training of the embeddings of new tokens by PEFT: their rows alone if the method can, else whole embeddings and output layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from swift_plugin_peft.targets import path_ends_with

_ROWS = "trainable_token_indices"


def token_rows(ids: Sequence[int], model: Any, saved: Sequence[str], config_class: Any) -> dict[str, Any]:
    """Return the fields of PEFT's configuration for rows of new tokens.

    Args:
        ids: the tokens; none gives no fields.
        model: the base model.
        saved: modules that are trained anyway.
        config_class: PEFT's class.
    """
    if not ids:
        return {}
    ends = {id(part) for part in (model.get_input_embeddings(), model.get_output_embeddings()) if part is not None}
    paths = [path for path, part in model.named_modules() if id(part) in ends]
    weights = {id(model.get_submodule(path).weight): path for path in reversed(paths)}  # tied ones once, as the embeddings
    chosen = [path for path in weights.values() if not any(path_ends_with(path, name) for name in saved)]
    if _ROWS in {field.name for field in dataclasses.fields(config_class)}:
        return {_ROWS: {path: list(ids) for path in reversed(chosen)}} if chosen else {}
    return {"modules_to_save": list(reversed(chosen))}
