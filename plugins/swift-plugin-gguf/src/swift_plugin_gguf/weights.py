"""Conversion and quantization of a checkpoint's tensors to GGUF types, one at a time."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type, LlamaFileType as FileType
from safetensors import safe_open
from swift_train.weights import stored_dtype

from swift_core.contract import SwiftError
from swift_plugin_gguf.plan import Plan, Target

TYPES: dict[str, tuple[Type, FileType]] = {
    "f32": (Type.F32, FileType.ALL_F32),
    "f16": (Type.F16, FileType.MOSTLY_F16),
    "bf16": (Type.BF16, FileType.MOSTLY_BF16),
    "q8_0": (Type.Q8_0, FileType.MOSTLY_Q8_0),
    "q5_1": (Type.Q5_1, FileType.MOSTLY_Q5_1),
    "q5_0": (Type.Q5_0, FileType.MOSTLY_Q5_0),
    "q4_1": (Type.Q4_1, FileType.MOSTLY_Q4_1),
    "q4_0": (Type.Q4_0, FileType.MOSTLY_Q4_0),
}
_STORED = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}
_UNQUANTIZED = ("ffn_gate_inp.weight",)  # routers are small, and quantizing them changes which experts a token uses
_EMBEDDINGS = ("token_embd.weight", "output.weight")


def resolve_type(name: str, plan: Plan) -> str:
    """Return the requested type; for `auto`, the type of most of the checkpoint's weights."""
    return _STORED[stored_dtype(plan.checkpoint)] if name == "auto" else name


def tensor_type(target: Target, kind: str) -> Type:
    """Return a tensor's type: F32 for vectors and routers, Q8_0 for embeddings and output layer if `kind` has fewer bits (as llama.cpp)."""
    if len(target.shape) < 2 or target.name.endswith(_UNQUANTIZED):
        return Type.F32
    type_ = Type.Q8_0 if target.name in _EMBEDDINGS and kind[:2] in ("q4", "q5") else TYPES[kind][0]
    return type_ if fits_blocks(target, type_) else Type.F16


def fits_blocks(target: Target, type_: Type) -> bool:
    """Return True if the tensor's row length is a multiple of the type's block size."""
    return target.shape[-1] % gguf.GGML_QUANT_SIZES[type_][0] == 0


def tensor_bytes(target: Target, type_: Type) -> int:
    """Return the size of a tensor in the type, in bytes."""
    block, size = gguf.GGML_QUANT_SIZES[type_]
    return int(np.prod(target.shape)) // block * size


class Reader:
    """Reader and converter of a plan's tensors; a context manager that keeps the weight files open."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._stack = ExitStack()
        self._open: dict[Path, Any] = {}

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self, target: Target, type_: Type) -> np.ndarray[Any, Any]:
        """Return the tensor as it is stored in the GGUF file: quantized, or as bytes of the type.

        Raises:
            SwiftError: the tensor has a NaN or an infinite value, or a value out of range for float16.
        """
        pieces = [self._source(name) for name in target.sources]
        whole = torch.stack(pieces) if len(pieces) > 1 else pieces[0]
        if target.pieces > 1:
            whole = whole.chunk(target.pieces, dim=1)[target.piece]
        if target.transform:
            whole = target.transform.load()(whole, self._plan.config)
        values = whole.to(torch.float32).reshape(target.shape).contiguous().numpy()
        if not np.isfinite(values).all():
            raise SwiftError(
                f"the weight {target.sources[0]} contains a NaN or an infinite value",
                code="EXPORT-041",
                where=str(self._plan.files[target.sources[0]]),
                hint="Training has diverged or the file is damaged: use an earlier checkpoint.",
            )
        if type_ == Type.F16 and np.abs(values).max(initial=0) > np.finfo(np.float16).max:
            message = f"the weight {target.sources[0]} has values that float16 can't represent"
            raise SwiftError(message, code="EXPORT-042", where=str(self._plan.checkpoint), hint="Use --type bf16 or f32.")
        return np.ascontiguousarray(gguf.quantize(values, type_))

    def _source(self, name: str) -> torch.Tensor:
        file = self._plan.files[name]
        if file not in self._open:
            self._open[file] = self._stack.enter_context(safe_open(file, "pt"))
        tensor: torch.Tensor = self._open[file].get_tensor(name)
        return tensor
