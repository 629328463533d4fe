"""An exported decoder in onnxruntime-genai, for verification."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime_genai

if TYPE_CHECKING:
    from numpy.typing import NDArray


class LoadedDecoder:
    """The model and the tokenizer of an exported folder; `vocabulary` is the number of logits per token."""

    def __init__(self, folder: Path) -> None:
        self._model: Any = onnxruntime_genai.Model(str(folder))
        self._tokenizer: Any = onnxruntime_genai.Tokenizer(self._model)
        self.vocabulary = int(json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))["model"]["vocab_size"])

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the logits after each token, shape [length, vocabulary], float32."""
        params = onnxruntime_genai.GeneratorParams(self._model)
        params.set_search_options(max_length=len(ids) + 1)
        generator = onnxruntime_genai.Generator(self._model, params)
        generator.append_tokens(np.array([ids], dtype=np.int32))
        return np.ascontiguousarray(generator.get_output("logits")[0], dtype=np.float32)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a rendered conversation."""
        return [int(token) for token in self._tokenizer.encode(text)]
