"""Load a GGUF file in llama.cpp and compute the logits of whole rows."""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from pathlib import Path

from cyllama.llama.llama_cpp import LlamaBatch, LlamaContext, LlamaContextParams, LlamaModel

from swift_core.contract import SwiftError

_MAX_TOKENS = 512  # per row: the context length


class _Model(LlamaModel):  # type: ignore[misc]
    """cyllama's model with the attribute `n_vocab`, which its `get_logits_ith` reads and the class lacks."""

    @property
    def n_vocab(self) -> int:
        return int(self.get_vocab().n_vocab)


class LoadedGguf:
    """A GGUF file loaded in llama.cpp, with llama.cpp's predictions and tokenizer."""

    def __init__(self, file: Path, threads: int) -> None:
        params = LlamaContextParams()
        params.n_ctx = params.n_batch = params.n_ubatch = _MAX_TOKENS
        params.n_threads = params.n_threads_batch = threads or os.cpu_count() or 1
        self._model = _Model(str(file))
        self._context = LlamaContext(self._model, params)
        self.vocabulary = self._model.n_vocab

    def logits(self, ids: Sequence[int]) -> array[float]:
        """Return the logits after each token, row by row: len(ids) · vocabulary float32 values.

        Raises:
            SwiftError: the row is longer than the context.
        """
        if len(ids) > _MAX_TOKENS:
            raise SwiftError(f"the row has {len(ids)} tokens; the maximum is {_MAX_TOKENS}", code="SERVE-025")
        self._context.kv_cache_clear()
        batch = LlamaBatch(n_tokens=_MAX_TOKENS, embd=0, n_seq_max=1)
        for position, token in enumerate(ids):
            batch.add(token, position, [0], True)
        self._context.decode(batch)
        logits = array("f")
        for position in range(len(ids)):
            logits.extend(self._context.get_logits_ith(position))
        return logits

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a rendered conversation; control tokens in the text are recognised, no BOS is added."""
        return [int(token) for token in self._model.get_vocab().tokenize(text, False, True)]
