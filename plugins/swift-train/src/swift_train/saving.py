"""Checkpoints as they leave us: model, tokenizer, chat template and generation config, and what the manifest says of them."""

from __future__ import annotations

import copy
import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

_CONVERSATIONS: tuple[list[dict[str, str]], ...] = (
    [{"role": "user", "content": "What is the capital of France?"}],
    [
        {"role": "system", "content": "Answer in one word."},
        {"role": "user", "content": "2 + 2?"},
        {"role": "assistant", "content": "Four."},
        {"role": "user", "content": "And 3 × 3?"},
    ],
)


def write_model(folder: Path, model: Any, processor: Any) -> None:
    """Write a transformers model as others read it, with a generation config that stops where the chat template ends a turn."""
    _untie_if_apart(model)
    if stops := stop_ids(processor):
        tokenizer = getattr(processor, "tokenizer", processor)
        generation = model.generation_config
        generation.eos_token_id = stops[0] if len(stops) == 1 else stops
        generation.bos_token_id = tokenizer.bos_token_id
        generation.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def plain_copy(model: Any) -> Any:
    """A fresh model with the same weights: one that was loaded quantized can't be saved even after it is dequantized."""
    config = copy.deepcopy(model.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    fresh = type(model)(config).to(model.dtype)
    fresh.load_state_dict(model.state_dict())
    fresh.generation_config = model.generation_config
    return fresh.to(model.device).eval()


def stop_ids(processor: Any) -> list[int]:
    """Tokens that end the assistant's turn: the first special one that the chat template writes after it, and the tokenizer's own."""
    tokenizer = getattr(processor, "tokenizer", processor)
    ends = [tokenizer.eos_token_id]
    if getattr(processor, "chat_template", None) or tokenizer.chat_template:
        answer = "∎"
        text = processor.apply_chat_template([{"role": "user", "content": "?"}, {"role": "assistant", "content": answer}], tokenize=False)
        special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
        tail = tokenizer(text.rpartition(answer)[2], add_special_tokens=False)["input_ids"]
        ends.insert(0, next((token for token in tail if token in special), None))
    return list(dict.fromkeys(token for token in ends if token is not None))


def template_facts(processor: Any) -> dict[str, Any]:
    """What the manifest says of the chat template: its SHA-256 and the tokens it stops at. Empty where there is none."""
    tokenizer = getattr(processor, "tokenizer", processor)
    template = getattr(processor, "chat_template", None) or tokenizer.chat_template
    if not template:
        return {}
    return {"hash": hashlib.sha256(str(template).encode()).hexdigest(), "stop": tokenizer.convert_ids_to_tokens(stop_ids(processor))}


def golden(processor: Any) -> tuple[dict[str, Any], ...]:
    """Conversations with the token ids that they must render to, wherever the checkpoint is served."""
    tokenizer = getattr(processor, "tokenizer", processor)
    if not tokenizer.chat_template:
        return ()
    rows = []
    for messages in _CONVERSATIONS:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        rows.append({"messages": messages, "ids": tokenizer(text, add_special_tokens=False)["input_ids"]})
    return tuple(rows)


def versions(*distributions: str) -> dict[str, str]:
    """The installed versions of what made the checkpoint."""
    return {name: version(name) for name in ("swift-core", "torch", "transformers", *distributions)}


def _untie_if_apart(model: Any) -> None:
    """Say in the config that head and embeddings are no longer one, where an adapter has changed only one of them."""
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    if head is not None and embeddings is not None and model.config.tie_word_embeddings and not torch.equal(head.weight, embeddings.weight):
        model.config.tie_word_embeddings = False
