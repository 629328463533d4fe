"""Repair generation configs: transformers refuses to save a contradictory one, and many published models have one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff")


def readable_generation_config(folder: Path, kind: Any) -> tuple[Any, str]:
    """Load the part of a folder's `generation_config.json` that transformers accepts, if it rejects the whole.

    Args:
        folder: the checkpoint.
        kind: transformers' `GenerationConfig` class.

    Returns:
        The config and a note on the values left out; (None, "") if the file is valid or does not exist.
    """
    path = folder / "generation_config.json"
    if not path.is_file():
        return None, ""
    values = json.loads(path.read_text(encoding="utf-8"))
    if _takes(kind, values):
        return None, ""
    taken: dict[str, Any] = {}
    for name, value in values.items():
        if _takes(kind, {**taken, name: value}):
            taken[name] = value
    dropped = [f"{name} ({values[name]!r})" for name in values if name not in taken]
    return kind(**taken), f"left out, since transformers rejects it: {', '.join(dropped)}"


def repaired_generation_config(config: Any) -> str:
    """Repair a transformers `GenerationConfig` in place, so that the result of the work can be saved with it.

    If sampling parameters stand beside `do_sample: false` (Vicuna, Llama 2), they are kept and sampling is enabled, since they have no
    effect otherwise. Any other contradictory value is reset to its default.

    Returns:
        A note on what was changed; '' if the config was valid.
    """
    if _valid(config):
        return ""
    given = {name: value for name, value in config.to_diff_dict().items() if name in _SAMPLING and value is not None}
    if given and not config.do_sample:
        config.do_sample = True
        if _valid(config):
            return f"do_sample was set to true, since {', '.join(given)} {'are' if len(given) > 1 else 'is'} given"
    fresh = type(config)()
    dropped = []
    for name, value in config.to_diff_dict().items():
        before = getattr(fresh, name, None)
        setattr(fresh, name, value)
        if not _valid(fresh):
            setattr(fresh, name, before)
            dropped.append(name)
    for name in dropped:
        setattr(config, name, getattr(fresh, name, None))
    return f"left out, since transformers refuses to save it with the rest: {', '.join(dropped)}"


def _takes(kind: Any, values: dict[str, Any]) -> bool:
    try:
        kind(**values)
    except Exception:  # see `_valid`
        return False
    return True


def _valid(config: Any) -> bool:
    try:
        config.validate(strict=True)
    except Exception:  # mostly ValueError; unexpected values can make the checks themselves fail
        return False
    return True
