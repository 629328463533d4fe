"""Write a model, tokenizer, chat template and generation config in the layout that other tools read."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from swift_core.contract import Run
from swift_train.encoder_decoder import accept_concatenated, is_encoder_decoder
from swift_train.heads import accept_logits_to_keep, has_no_head, has_score_head
from swift_train.speech import accept_transcripts, hears, silence_of
from swift_train.template_facts import generation_config


def write_model(folder: Path, model: Any, processor: Any) -> None:
    """Write a transformers model and its processor, with a generation config that also stops at the chat template's end-of-turn token."""
    _untie_if_different(model)
    if model.can_generate():
        model.generation_config = generation_config(model, processor)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def unquantized_copy(model: Any, weights: Mapping[str, torch.Tensor] | None = None) -> Any:
    """Return a new model without quantization config, with the same weights or `weights`: a dequantized model can't be saved."""
    config = copy.deepcopy(model.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    fresh = type(model)(config).to(model.dtype)
    fresh.load_state_dict(weights or model.state_dict())
    fresh.generation_config = model.generation_config
    if has_score_head(fresh) or has_no_head(fresh):
        accept_logits_to_keep(fresh, config.get_text_config().pad_token_id)
    elif hears(fresh):
        accept_transcripts(fresh, silence_of(model), config.pad_token_id)
    elif is_encoder_decoder(fresh):
        accept_concatenated(fresh, config.pad_token_id)
    return fresh.to(model.device).eval()


def versions(run: Run, *libraries: str) -> dict[str, str]:
    """Return the versions that made a checkpoint: installed libraries, and the plugins as recorded in the run."""
    return {name: version(name) for name in ("swift-core", "swift-train", "torch", "transformers", *libraries)} | run.made_with()


def _untie_if_different(model: Any) -> None:
    """Set `tie_word_embeddings` to false if an adapter has changed only one of head and embeddings."""
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    if head is None or embeddings is None or not getattr(model.config, "tie_word_embeddings", False) or is_shared(model, head):
        return
    if not torch.equal(head.weight, embeddings.weight):
        model.config.tie_word_embeddings = False


def is_shared(model: Any, module: Any) -> bool:
    """Return whether another module has the weight of a module too: of an encoder-decoder's head, perhaps only the decoder's embeddings."""
    others = (other for other in model.modules() if other is not module)
    return any(parameter is module.weight for other in others for parameter in other.parameters(recurse=False))
