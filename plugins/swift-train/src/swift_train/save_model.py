"""Checkpoints as they leave us: model, tokenizer, chat template and generation config, as others read them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from swift_core.contract.run import Run
from swift_train.template_facts import generation_config


def write_model(folder: Path, model: Any, processor: Any) -> None:
    """Write a transformers model as others read it, with a generation config that stops where the chat template ends a turn."""
    _untie_if_apart(model)
    model.generation_config = generation_config(model, processor)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def unquantized_copy(model: Any, weights: Mapping[str, torch.Tensor] | None = None) -> Any:
    """A fresh model with the same weights, or `weights`: one that was loaded quantized can't be saved even after it is dequantized."""
    config = copy.deepcopy(model.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    fresh = type(model)(config).to(model.dtype)
    fresh.load_state_dict(weights or model.state_dict())
    fresh.generation_config = model.generation_config
    return fresh.to(model.device).eval()


def versions(run: Run, *libraries: str) -> dict[str, str]:
    """The versions of what made the checkpoint: the libraries that are installed here, and the plugins as the run has recorded them."""
    return {name: version(name) for name in ("swift-core", "swift-train", "torch", "transformers", *libraries)} | run.made_with()


def _untie_if_apart(model: Any) -> None:
    """Say in the config that head and embeddings are no longer one, where an adapter has changed only one of them."""
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    if head is not None and embeddings is not None and model.config.tie_word_embeddings and not torch.equal(head.weight, embeddings.weight):
        model.config.tie_word_embeddings = False
