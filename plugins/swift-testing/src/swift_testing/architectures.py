"""Test helper for every architecture in transformers: small random models of each kind of class."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from swift_testing.small_configs import small

MAX_PARAMETERS = 30_000_000  # of a small model
MAX_WITH_TOWERS = 100_000_000  # of one that reads images or audio


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of model class.

    Attributes:
        mapping: transformers' table of the classes by model type.
        head: the output layer, as in `TaskSpec.head`.
    """

    mapping: str
    head: str = ""


KINDS: Mapping[str, Kind] = {
    "causal": Kind("MODEL_FOR_CAUSAL_LM_MAPPING_NAMES"),
    "multimodal": Kind("MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES"),
    "seq2seq": Kind("MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES"),
    "masked": Kind("MODEL_FOR_MASKED_LM_MAPPING_NAMES"),
    "sequence": Kind("MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES", "score:3"),
    "token": Kind("MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES", "token:3"),
}

NOT_SMALL = {  # model types for which the rules give no small model, and why
    "dots3_note": "its configuration refers to layers that a small model does not have",
    "gemma3n": "it needs the library timm",
    "gemma4_assistant": "it is not a text-only model",
    "gemma4_unified_assistant": "it is not a text-only model",
}
NOT_TRAINED = {  # model types that can't be trained on rows of text, and why
    "blt": "it takes byte patches",
    "musicgen": "it predicts several codes at once",
    "musicgen_melody": "it predicts several codes at once",
    "reformer": "it trains only on rows of one fixed length",
}


def types_of(kind: str) -> dict[str, str]:
    """Return transformers' classes of a kind, by model type; a class that several kinds have is in the first of `KINDS`.

    So the multimodal kind has no class that is a causal one, and that of pairs no multimodal one.
    """
    found: dict[str, str] = {}
    earlier: set[tuple[str, str]] = set()
    for name, each in KINDS.items():
        found = {model_type: cls for model_type, cls in _classes(each.mapping).items() if (model_type, cls) not in earlier}
        if name == kind:
            break
        earlier |= set(found.items())
    return found


def causal_types() -> list[str]:
    """Return the model types that have a causal language model in transformers."""
    return list(types_of("causal"))


def _classes(mapping: str) -> dict[str, str]:
    from transformers.models.auto import modeling_auto

    table: Mapping[str, str | tuple[str, ...]] = getattr(modeling_auto, mapping)
    return {model_type: value if isinstance(value, str) else value[0] for model_type, value in table.items()}


def write_small_model(folder: Path, model_type: str, kind: str = "", **values: Any) -> Path:
    """Write `small_model(model_type, kind)` as a checkpoint with a tokenizer; return `folder`."""
    write_with_tokenizer(folder, small_model(model_type, kind, **values))
    return folder


def write_with_tokenizer(folder: Path, model: Any) -> None:
    """Write a small model as a checkpoint with a tokenizer, whose special tokens are then those of the model."""
    from swift_testing.rig import tiny_tokenizer

    tokenizer = tiny_tokenizer("<pad>") if model.config.is_encoder_decoder else tiny_tokenizer()
    if model.config.is_encoder_decoder:  # its classifiers count the end tokens of a row
        tokenizer.pad_token = "<pad>"
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(model.config, name, getattr(tokenizer, name))
        if getattr(model, "generation_config", None) is not None:
            setattr(model.generation_config, name, getattr(tokenizer, name))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _set_special_tokens(config: Any, *, padding: bool) -> None:
    """Set the ids of the tokenizer that `write_with_tokenizer` writes, which has a padding token of its own if `padding` is set."""
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3 if padding else 2}
    for part in (config, *(getattr(config, name) for name in config.sub_configs)):
        for name, value in ids.items():
            if hasattr(part, name):
                setattr(part, name, value)
    if config.is_encoder_decoder:
        config.decoder_start_token_id = ids["pad_token_id"]


def small_model(model_type: str, kind: str = "", *, attention: str | None = None, **values: Any) -> Any:
    """Return a small random model of a type, float32, with fixed weights.

    The weights are large enough that logits depend on the inputs, and dropout is 0.

    Args:
        model_type: transformers' model type.
        kind: one of `KINDS`; default: causal, or image-text-to-text if there is no causal one.
        attention: attention implementation; None for the default.
        values: further values of the configuration.

    Raises:
        ValueError: the rules give no small model.
    """
    import transformers

    config_class = transformers.CONFIG_MAPPING[model_type]
    config = config_class(**{**small(config_class), **values})
    for part in filter(None, (config, *(getattr(config, name) for name in config.sub_configs))):
        for name, value in vars(part).items():
            if isinstance(value, float) and re.search(r"dropout|pdrop|layerdrop|drop_rate|dropatt", name):
                setattr(part, name, 0.0)
    if kind:
        name = _classes(KINDS[kind].mapping)[model_type]
    else:
        name = {**_classes("MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES"), **_classes(KINDS["causal"].mapping)}[model_type]
    model_class = getattr(transformers, name)
    if not isinstance(config, model_class.config_class):  # the language model of a multimodal one, as the Auto classes choose it
        parts = [getattr(config, part) for part in config.sub_configs]
        config = next((part for part in parts if isinstance(part, model_class.config_class)), config)
    if kind not in ("", "causal", "multimodal") and hasattr(config, "is_decoder"):
        config.is_decoder = False
    if kind:  # before it is built: tables of positions may depend on the padding token
        _set_special_tokens(config, padding=kind != "causal" and config.is_encoder_decoder)
    if kind and (count := KINDS[kind].head.partition(":")[2]):
        config.num_labels = int(count)
    with torch.device("meta"):
        size = sum(parameter.numel() for parameter in model_class(config).parameters())
    if size > (MAX_WITH_TOWERS if kind == "multimodal" else MAX_PARAMETERS):
        raise ValueError(f"{model_type} is not small: {size:,} parameters")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = model_class._from_config(config, attn_implementation=attention).float()
        for parameter in model.parameters():
            if parameter.dim() >= 2 and parameter.numel() > 1 and float(parameter.detach().std()) < 0.06:
                torch.nn.init.normal_(parameter, std=0.08)
    return model
