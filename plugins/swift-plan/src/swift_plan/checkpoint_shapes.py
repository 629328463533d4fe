"""The shapes of a model, read from its checkpoint's headers and configuration, without torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from swift_formats.weights import read_header, weight_files

from swift_core.checkpoints import Checkpoint
from swift_core.contract import SwiftError

_BYTES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}
_BLOCK = re.compile(r"\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor of a checkpoint."""

    shape: tuple[int, ...]
    bytes: int  # as stored

    @property
    def count(self) -> int:
        """Number of its elements."""
        return prod(self.shape)


@dataclass(frozen=True)
class Shapes:
    """Weights of a checkpoint by name, and the numbers of its configuration that decide memory."""

    weights: Mapping[str, Weight]
    config: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def text(self) -> Mapping[str, Any]:
        """The configuration of the language model."""
        inner = self.config.get("text_config") or self.config.get("llm_config")
        return inner if isinstance(inner, dict) else self.config

    def number(self, *names: str, default: int = 0) -> int:
        """Return the first of these numbers of the configuration."""
        return next((int(self.text[name]) for name in names if isinstance(self.text.get(name), int)), default)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(weight.count for weight in self.weights.values())

    @property
    def stored(self) -> int:
        """Bytes of the weights, as stored."""
        return sum(weight.bytes for weight in self.weights.values())

    @property
    def dtype(self) -> str:
        """The dtype of most weights, as torch calls it."""
        width = max((2, 4), key=lambda size: sum(w.count for w in self.weights.values() if w.bytes == size * w.count))
        return "float32" if width == 4 else str(self.text.get("dtype") or self.text.get("torch_dtype") or "bfloat16")

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return self.number("num_hidden_layers", "n_layer", "num_layers", default=1)

    @property
    def hidden(self) -> int:
        """Width of the residual stream."""
        return self.number("hidden_size", "n_embd", "d_model", default=1)

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return self.number("vocab_size", default=1)

    @property
    def context(self) -> int:
        """The longest sequence that the model is made for; 0 if unknown."""
        return self.number("max_position_embeddings", "n_positions")

    @property
    def kv_width(self) -> int:
        """Numbers per token and layer in the KV cache: keys and values, or the latent of multi-head latent attention."""
        if latent := self.number("kv_lora_rank"):
            return latent + self.number("qk_rope_head_dim")
        heads = self.number("num_attention_heads", "n_head", default=1)
        width = self.number("head_dim") or self.hidden // heads
        return 2 * self.number("num_key_value_heads", default=heads) * width

    def matrices(self, names: Iterable[str] = ()) -> list[Weight]:
        """Return the matrices of the linear layers in blocks; with `names`, of the layers of these last names alone."""
        chosen = set(names)
        return [
            weight
            for name, weight in self.weights.items()
            if len(weight.shape) in (2, 3) and name.endswith(("weight", "proj")) and _BLOCK.search(name)
            and (not chosen or name.removesuffix(".weight").rpartition(".")[2] in chosen)
        ]  # fmt: skip

    @property
    def block_parameters(self) -> int:
        """Number of the weights in blocks."""
        return sum(weight.count for name, weight in self.weights.items() if _BLOCK.search(name))


def shapes_of(folder: Path) -> Shapes:
    """Read the shapes of a checkpoint folder; without safetensors files (GGUF), there are no weights but a configuration.

    Raises:
        UsageError: a file is damaged.
    """
    weights = {}
    if folder.is_dir():
        for file in weight_files(folder):
            for name, entry in read_header(file).items():
                shape = tuple(map(int, entry["shape"]))
                weights[name] = Weight(shape, _BYTES.get(entry["dtype"], 1) * prod(shape))
    try:
        config = dict(Checkpoint.at(folder).config)
    except SwiftError:
        config = {}
    return Shapes(weights, config)
