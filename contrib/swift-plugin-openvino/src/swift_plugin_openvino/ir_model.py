"""An exported folder in OpenVINO, computed in float32, for verification."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}


class IrModel:
    """The model and the tokenizer of a folder in OpenVINO IR; `vocabulary` is the number of logits per token."""

    def __init__(self, folder: Path) -> None:
        import openvino_tokenizers  # noqa: F401  # registers the tokenizer's operations with OpenVINO

        core = openvino.Core()
        compiled: Any = core.compile_model(str(folder / "openvino_model.xml"), "CPU", _EXACT)
        self._inputs = {name for port in compiled.inputs for name in port.get_names()}
        self._request: Any = compiled.create_infer_request()
        self._tokenizer: Any = core.compile_model(str(folder / "openvino_tokenizer.xml"), "CPU")
        self.vocabulary = int(compiled.output("logits").get_partial_shape()[2].get_length())

    def logits(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the logits after each token, shape [length, vocabulary], float32."""
        inputs = {
            "input_ids": np.array([ids], dtype=np.int64),
            "attention_mask": np.ones((1, len(ids)), dtype=np.int64),
            "position_ids": np.arange(len(ids), dtype=np.int64)[None],
            "beam_idx": np.zeros(1, dtype=np.int32),
        }
        self._request.reset_state()
        outputs = self._request.infer({name: value for name, value in inputs.items() if name in self._inputs})
        return np.ascontiguousarray(outputs["logits"][0], dtype=np.float32)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a rendered conversation."""
        return [int(token) for token in self._tokenizer([text])["input_ids"][0]]
