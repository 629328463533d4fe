"""Pytest fixtures for tests of the core and of plugins; enable them with `pytest_plugins = ["swift_testing.rig"]` in a conftest.

`tiny_model` and `tiny_vlm` are real checkpoints that are created in milliseconds and behave like large ones. torch, transformers and
tokenizers are imported only when such a fixture is used, so the tests of a light plugin need none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from swift_testing.fake_engine import FakeEngine
    from swift_testing.inline import InlinePlugins
    from swift_testing.project import SwiftProject

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

# The chat template of SmolLM2-Instruct, which adds a system turn if the conversation has none.
CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_CORPUS = (
    "The capital of France is Paris. What is the capital of the country? The answer is in the question.",
    "You are a helpful assistant. Write a sentence about the weather and explain the reason for it.",
    "system user assistant",
)


TINY_SIZES: Mapping[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.1,  # wide enough for distinct logits
}


def write_tiny_model(folder: Path, *, seed: int = 0, **sizes: Any) -> Path:
    """Write a random Llama (2 layers, hidden size 64, 4 heads, 2 KV heads, float32, tied head) with a ChatML tokenizer.

    Args:
        folder: the folder to create.
        seed: seed of the weights; the same seed gives the same bytes.
        sizes: values of `config.json` to override.

    Returns:
        `folder`.
    """
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_tokenizer()
    tokens = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = LlamaConfig(**{**TINY_SIZES, "vocab_size": len(tokenizer), "tie_word_embeddings": True, **tokens, **sizes})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(**tokens)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_tokenizer(*more: str) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer with 320 tokens: it encodes any text, and a word may be several tokens.

    `more` are additional special tokens.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=[*SPECIAL_TOKENS, *more], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    backend.train_from_iterator(_CORPUS, trainer)
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, unk_token="<|endoftext|>", bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    tokenizer.chat_template = CHATML
    return tokenizer


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama checkpoint folder (safetensors, tokenizer, chat template, generation config). Don't modify it."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def tiny_vlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random vision-language checkpoint folder (LLaVA) with its processor; needs Pillow. Don't modify it."""
    from swift_testing.tiny_vlm import write_tiny_vlm

    return write_tiny_vlm(tmp_path_factory.mktemp("tiny") / "vlm")


@pytest.fixture
def fake_engine() -> Iterator[FakeEngine]:
    """A server that speaks the OpenAI protocol without a model; it answers "Hello.", or what `fake_engine.answers` is set to."""
    from swift_testing.fake_engine import FakeEngine

    with FakeEngine() as engine:
        yield engine


@pytest.fixture
def swift_project(tmp_path: Path) -> SwiftProject:
    """An empty project folder: `write` files into it, `run` swift in it as a user does."""
    from swift_testing.project import SwiftProject

    folder = tmp_path / "project"
    folder.mkdir()
    return SwiftProject(folder)


@pytest.fixture
def inline_plugin() -> Iterator[InlinePlugins]:
    """A function that registers hooks defined inside the test, in this process and until the test ends."""
    from swift_testing.inline import InlinePlugins

    installed = InlinePlugins()
    yield installed
    installed.close()
