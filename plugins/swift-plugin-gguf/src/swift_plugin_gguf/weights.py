"""From the tensors of a checkpoint to the bytes of a GGUF file, one at a time."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from gguf import LlamaFileType as FileType
from safetensors import safe_open
from swift_train.weights import stored_dtype

from swift_core.errors import SwiftError
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
_EXACT = ("ffn_gate_inp.weight",)  # routers are small, and a token's way hangs on them
_ENDS = ("token_embd.weight", "output.weight")


def resolve_type(name: str, plan: Plan) -> str:
    """The type that was asked for; for `auto`, the one that most of the checkpoint is stored in."""
    return _STORED[stored_dtype(plan.checkpoint)] if name == "auto" else name


def tensor_type(target: Target, kind: str) -> Type:
    """The type of a tensor: vectors and routers whole, embeddings and head in 8 bits where the rest has fewer (as llama.cpp does)."""
    if len(target.shape) < 2 or target.name.endswith(_EXACT):
        return Type.F32
    wanted = Type.Q8_0 if target.name in _ENDS and kind[:2] in ("q4", "q5") else TYPES[kind][0]
    return wanted if divides(target, wanted) else Type.F16


def divides(target: Target, wanted: Type) -> bool:
    """Whether the tensor's rows are whole blocks of the type."""
    return target.shape[-1] % gguf.GGML_QUANT_SIZES[wanted][0] == 0


def tensor_bytes(target: Target, wanted: Type) -> int:
    """Bytes that a tensor takes."""
    block, size = gguf.GGML_QUANT_SIZES[wanted]
    return int(np.prod(target.shape)) // block * size


class Reader:
    """Reads targets of a plan; a context manager, since it keeps the weight files open."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._stack = ExitStack()
        self._open: dict[Path, Any] = {}

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self, target: Target, wanted: Type) -> np.ndarray[Any, Any]:
        """The tensor as it lies in the file.

        Raises:
            SwiftError: it holds a NaN or an infinite number, or one that float16 can't hold.
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
                f"the weight {target.sources[0]} holds a NaN or an infinite number",
                where=str(self._plan.files[target.sources[0]]),
                hint="Its training went wrong, or the file is damaged: take an earlier checkpoint.",
            )
        if wanted == Type.F16 and np.abs(values).max(initial=0) > np.finfo(np.float16).max:
            message = f"the weight {target.sources[0]} has numbers that float16 can't hold"
            raise SwiftError(message, where=str(self._plan.checkpoint), hint="Use --type bf16 or f32.")
        return np.ascontiguousarray(gguf.quantize(values, wanted))

    def _source(self, name: str) -> torch.Tensor:
        file = self._plan.files[name]
        if file not in self._open:
            self._open[file] = self._stack.enter_context(safe_open(file, "pt"))
        tensor: torch.Tensor = self._open[file].get_tensor(name)
        return tensor
