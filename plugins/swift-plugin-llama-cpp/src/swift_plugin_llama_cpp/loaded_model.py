"""A GGUF file in llama.cpp, asked for the logits of whole rows."""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from pathlib import Path

from cyllama.llama.llama_cpp import LlamaBatch, LlamaContext, LlamaContextParams, LlamaModel

from swift_core.contract.errors import SwiftError

_LONGEST = 512  # tokens of a row


class _Model(LlamaModel):  # type: ignore[misc]
    """cyllama's own, with the number that its `get_logits_ith` looks for and does not find."""

    @property
    def n_vocab(self) -> int:
        return int(self.get_vocab().n_vocab)


class LoadedGguf:
    """The file, as llama.cpp predicts and splits text."""

    def __init__(self, file: Path, threads: int) -> None:
        params = LlamaContextParams()
        params.n_ctx = params.n_batch = params.n_ubatch = _LONGEST
        params.n_threads = params.n_threads_batch = threads or os.cpu_count() or 1
        self._model = _Model(str(file))
        self._context = LlamaContext(self._model, params)
        self.vocabulary = self._model.n_vocab

    def logits(self, ids: Sequence[int]) -> array[float]:
        """What it predicts after each token.

        Raises:
            SwiftError: the row is too long.
        """
        if len(ids) > _LONGEST:
            raise SwiftError(f"a row of {len(ids)} tokens; {_LONGEST} are the most")
        self._context.kv_cache_clear()
        batch = LlamaBatch(n_tokens=_LONGEST, embd=0, n_seq_max=1)
        for place, token in enumerate(ids):
            batch.add(token, place, [0], True)
        self._context.decode(batch)
        found = array("f")
        for place in range(len(ids)):
            found.extend(self._context.get_logits_ith(place))
        return found

    def encode(self, text: str) -> list[int]:
        """The tokens of a rendered conversation."""
        return [int(token) for token in self._model.get_vocab().tokenize(text, False, True)]
