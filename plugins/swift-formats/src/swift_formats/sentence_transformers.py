"""The layout of sentence-transformers' embedding models: modules.json, and how a vector is pooled from the last hidden states.

Written are the names that every version of sentence-transformers reads; read are those of older and newer versions.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swift_core.contract import UsageError
from swift_core.system import write_json

MODULES, SETTINGS, PROMPTS = "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"
MODES = ("mean", "cls", "lasttoken")
_POOLING, _NORMALIZE = "1_Pooling", "2_Normalize"
_TYPES = "sentence_transformers.models."
_FLAGS = {"cls_token": "cls", "mean_tokens": "mean", "max_tokens": "max"}  # one flag per mode, with the prefix `pooling_mode_`
_FLAG_OF = {"mean": "mean_tokens", "cls": "cls_token", "lasttoken": "lasttoken"}
_PREFIX = "pooling_mode_"


@dataclass(frozen=True, slots=True)
class Pooling:
    """Pooling of the last hidden states of a text into a vector: their mean, the first (cls) or the last one (lasttoken)."""

    mode: str  # mean, cls or lasttoken
    normalized: bool  # the vectors have unit length
    prompts: Mapping[str, str] = field(default_factory=dict)  # texts that precede an input, by name: query, document


def has_pooling(folder: Path) -> bool:
    """Return whether a checkpoint folder is a sentence-transformers embedding model, by its modules."""
    try:
        return any(_kind(module) == "Pooling" for module in _read(folder / MODULES))
    except (UsageError, TypeError, KeyError):
        return False


def pooling_of(checkpoint: Path) -> Pooling | None:
    """Return the pooling of a checkpoint, or None if it is not a sentence-transformers model.

    Raises:
        UsageError: the pooling mode or a module is not supported.
    """
    file = checkpoint / MODULES
    if not file.is_file():
        return None
    modules = [(_kind(each), checkpoint / str(each.get("path", ""))) for each in _read(file)]
    kinds = [kind for kind, _ in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or kinds[2:] not in ([], ["Normalize"]) or modules[0][1] != checkpoint:
        raise _unsupported(f"its modules are {', '.join(kinds) or 'none'}", file)
    config = _read(modules[1][1] / "config.json")
    if config.get("include_prompt") is False:
        raise _unsupported("its pooling excludes the prompt (include_prompt)", modules[1][1])
    modes = _modes(config)
    if len(modes) != 1 or modes[0] not in MODES:
        raise _unsupported(f"its pooling is {' and '.join(modes) or 'none'}", modules[1][1])
    prompts = _read(checkpoint / PROMPTS).get("prompts") or {} if (checkpoint / PROMPTS).is_file() else {}
    return Pooling(modes[0], "Normalize" in kinds, prompts)


def max_length_of(checkpoint: Path) -> int | None:
    """Return the tokens to which texts are cut; None if the checkpoint does not say."""
    file = checkpoint / SETTINGS
    found = _read(file).get("max_seq_length") if file.is_file() else None
    return int(found) if found else None


def write_pooling(folder: Path, pooling: Pooling, size: int, max_length: int | None) -> None:
    """Add the files of sentence-transformers to a checkpoint folder.

    Args:
        folder: has the model and the tokenizer.
        pooling: how a vector is made.
        size: numbers of a vector.
        max_length: tokens to which a text is cut; None for the model's maximum.
    """
    kinds = ["Transformer", "Pooling", *(["Normalize"] if pooling.normalized else [])]
    paths = ["", _POOLING, _NORMALIZE]
    modules = [{"idx": number, "name": str(number), "path": paths[number], "type": _TYPES + kind} for number, kind in enumerate(kinds)]
    write_json(folder / MODULES, modules)
    write_json(folder / SETTINGS, {"max_seq_length": max_length, "do_lower_case": False})
    prompts = {"prompts": dict(pooling.prompts), "default_prompt_name": None, "similarity_fn_name": "cosine"}
    write_json(folder / PROMPTS, {**prompts, "model_type": "SentenceTransformer"})
    for name in paths[1 : len(kinds)]:
        (folder / name).mkdir(exist_ok=True)
    flags = {f"{_PREFIX}{flag}": mode == pooling.mode for mode, flag in _FLAG_OF.items()}
    write_json(folder / _POOLING / "config.json", {"word_embedding_dimension": size, **flags, "include_prompt": True})


def copy_pooling(source: Path, target: Path) -> None:
    """Copy the files of sentence-transformers from a checkpoint folder to one that was made from it; do nothing if it has none."""
    if not has_pooling(source):
        return
    for name in (MODULES, SETTINGS, PROMPTS):
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    for module in _read(source / MODULES):
        path = str(module.get("path", ""))
        if path and (source / path).is_dir():
            shutil.copytree(source / path, target / path, dirs_exist_ok=True)


def _kind(module: Mapping[str, Any]) -> str:
    return str(module["type"]).rpartition(".")[2]


def _modes(config: Mapping[str, Any]) -> list[str]:
    """Return the pooling modes, from `pooling_mode` or from the flags."""
    if mode := config.get("pooling_mode"):
        return [mode] if isinstance(mode, str) else list(mode)
    flags = [name.removeprefix(_PREFIX) for name, value in config.items() if name.startswith(_PREFIX) and value]
    return [_FLAGS.get(flag, flag) for flag in flags]


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the file can't be read: {error}", code="EXPORT-052", where=str(file), hint="Check that the checkpoint is complete."
        ) from error


def _unsupported(problem: str, where: Path) -> UsageError:
    hint = f"Supported: {', '.join(MODES)}. Remove {MODULES} to use the states of all tokens instead."
    return UsageError(f"unsupported sentence-transformers model: {problem}", code="EXPORT-053", where=str(where), hint=hint)
