"""A generation config that can be saved: transformers writes none that contradicts itself, and many published ones do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff")


def readable(folder: Path, kind: Any) -> tuple[Any, str]:
    """What `kind`, transformers' GenerationConfig, takes of a folder's `generation_config.json`, if it refuses the whole.

    Returns:
        The config and what was left out, for a note; (None, "") if nothing is wrong with the file, or there is none.
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
    left = [f"{name} ({values[name]!r})" for name in values if name not in taken]
    return kind(**taken), f"left out, as transformers does not take it: {', '.join(left)}"


def mended(config: Any) -> str:
    """Mend a transformers' generation config in place, before work is done whose result it would keep from being written.

    Numbers for sampling beside `do_sample: false` (Vicuna, Llama 2) are kept, and sampling is switched on: they say nothing otherwise.
    What contradicts the rest in another way is taken back to its default.

    Returns:
        What was changed, for a note; empty where nothing was wrong.
    """
    if _valid(config):
        return ""
    given = {name: value for name, value in config.to_diff_dict().items() if name in _SAMPLING and value is not None}
    if given and not config.do_sample:
        config.do_sample = True
        if _valid(config):
            return f"do_sample is true now, as {', '.join(given)} {'are' if len(given) > 1 else 'is'} given"
    fresh = type(config)()
    left = []
    for name, value in config.to_diff_dict().items():
        before = getattr(fresh, name, None)
        setattr(fresh, name, value)
        if not _valid(fresh):
            setattr(fresh, name, before)
            left.append(name)
    for name in left:
        setattr(config, name, getattr(fresh, name, None))
    return f"left out, as transformers refuses to save it with the rest: {', '.join(left)}"


def _takes(kind: Any, values: dict[str, Any]) -> bool:
    try:
        kind(**values)
    except Exception:  # as for `_valid`
        return False
    return True


def _valid(config: Any) -> bool:
    try:
        config.validate(strict=True)
    except Exception:  # ValueError mostly, and what odd values make the checks themselves raise
        return False
    return True
