"""The output layer of a checkpoint, if it is no language model's: N numbers per sequence or token, or none, as of embedding models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from swift_formats.adapters import CONFIG
from swift_formats.completeness import json_object
from swift_formats.sentence_transformers import has_pooling
from swift_formats.weights import ADAPTER, read_header

_KINDS = {"ForSequenceClassification": "score", "ForTokenClassification": "token"}
_ADAPTER_KINDS = {"SEQ_CLS": "score", "TOKEN_CLS": "token"}
_OUTPUTS = (".score.weight", ".classifier.weight", ".classifier.out_proj.weight", ".out_proj.weight")  # of heads, the last layer
_HIDDEN = "hidden"
_GENERATES = ("HeadModel", "HeadsModel", "MTModel", "EncoderDecoderModel")  # GPT2LMHeadModel, MarianMTModel: their names end with Model too
_DEFAULT_LABELS = 2  # of transformers, if config.json names no labels


def of_model(folder: Path) -> str:
    """Return "score:N" or "token:N" for a model that transformers loads as a classifier, "hidden" for an embedding model; '' for others.

    An embedding model has sentence-transformers' pooling, or an architecture without an output layer (LlamaModel).

    Raises:
        UsageError: config.json is not a JSON object.
    """
    if not (folder / "config.json").is_file():
        return ""
    config = json_object(folder / "config.json")
    names = [str(name) for name in config.get("architectures") or ()]
    kind = next((kind for name in names for suffix, kind in _KINDS.items() if name.endswith(suffix)), "")
    if not kind:
        return _HIDDEN if has_pooling(folder) or _has_no_head(names, config) else ""
    return f"{kind}:{len(config.get('id2label') or ()) or config.get('num_labels') or _DEFAULT_LABELS}"


def _has_no_head(names: Sequence[str], config: Mapping[str, Any]) -> bool:
    """Return whether all classes of a checkpoint are transformers' models of text without an output layer.

    Excluded are classes that generate, a repository's own classes, and models with parts for other inputs, which may be named so.
    """
    own_code, parts = "auto_map" in config, any(name.endswith("_config") and isinstance(value, dict) for name, value in config.items())
    return bool(names) and not own_code and not parts and all(name.endswith("Model") and not name.endswith(_GENERATES) for name in names)


def of_adapter(folder: Path) -> str:
    """Return "score:N" or "token:N" for an adapter that has a classifier's output layer, "hidden" for an embedding model's; '' for others.

    Raises:
        UsageError: adapter_config.json is not a JSON object, or the weights are damaged.
    """
    kind = json_object(folder / CONFIG).get("task_type")
    if kind == "FEATURE_EXTRACTION":
        return _HIDDEN
    if kind not in _ADAPTER_KINDS or not (folder / ADAPTER).is_file():
        return ""
    shapes = {name: entry["shape"] for name, entry in read_header(folder / ADAPTER).items() if "lora_" not in name}
    found = (shape[0] for end in _OUTPUTS for name, shape in shapes.items() if name.endswith(end))
    return next((f"{_ADAPTER_KINDS[kind]}:{size}" for size in found), "")
