"""Importance matrices: how much each column of a weight counts, from the inputs that a model had on real rows.

llama.cpp's file of one has two tensors a weight: `NAME.in_sum2`, the sums of the squares of each input, and `NAME.counts`, of how many
tokens (one number an expert). cyllama lets no one hand a matrix to the quantizer, though the C interface takes it. So the pointer is
written into the C structure inside cyllama's object, once it is sure that the structure lies there as `llama.h` has it.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swift_core.contract.errors import SwiftError, UsageError

FILE = "imatrix.gguf"
_SUMS, _COUNTS = ".in_sum2", ".counts"
HINT = "swift export CHECKPOINT --to imatrix --dataset ROWS makes one, and so does llama.cpp's llama-imatrix."


class _Entry(ctypes.Structure):
    """`llama_model_imatrix_data` of llama.h."""

    _fields_ = (("name", ctypes.c_char_p), ("data", ctypes.POINTER(ctypes.c_float)), ("size", ctypes.c_size_t))


class _Params(ctypes.Structure):
    """`llama_model_quantize_params` of llama.h (b9190)."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("nthread", "ftype", "output_tensor_type", "token_embedding_type")),
        *((name, ctypes.c_bool) for name in ("allow_requantize", "quantize_output_tensor", "only_copy", "pure", "keep_split", "dry_run")),
        ("imatrix", ctypes.POINTER(_Entry)),
        *((name, ctypes.c_void_p) for name in ("kv_overrides", "tt_overrides", "prune_layers")),
    )


def matrix_file(named: str) -> Path:
    """The file that an option names: itself, or the one in a folder that `--to imatrix` has made.

    Raises:
        UsageError: there is none.
    """
    path = Path(named, FILE) if Path(named).is_dir() else Path(named)
    if not path.is_file():
        raise UsageError(f"no importance matrix here: {path}", where="imatrix", hint=HINT)
    return path


def read_matrix(file: Path) -> dict[str, array[float]]:
    """The mean square of each input of a weight, expert after expert, by the weight's name; what no token has reached counts 1.

    Raises:
        UsageError: it is no such file.
    """
    tensors = _tensors(file)
    names = [name.removesuffix(_SUMS) for name in tensors if name.endswith(_SUMS)]
    if not names or any(name + _COUNTS not in tensors for name in names):
        raise UsageError("this is no importance matrix in GGUF", where=str(file), hint=HINT)
    means: dict[str, array[float]] = {}
    for name in names:
        sums, counts = tensors[name + _SUMS], tensors[name + _COUNTS]
        columns = len(sums) // len(counts)
        means[name] = array("f", (total / count if (count := counts[place // columns]) else 1.0 for place, total in enumerate(sums)))
    return means


@contextmanager
def with_matrix(params: Any, matrix: Mapping[str, array[float]]) -> Iterator[None]:
    """Have cyllama's parameters of the quantizer hold the matrix; it must not be gone before the quantizer has run.

    Raises:
        SwiftError: this cyllama lays its parameters out otherwise.
    """
    entries = (_Entry * (len(matrix) + 1))()  # the last has no name: there the quantizer stops
    for entry, (name, values) in zip(entries, matrix.items(), strict=False):
        entry.name, entry.size = name.encode(), len(values)
        entry.data = (ctypes.c_float * len(values)).from_buffer(values)
    inner = _inside(params)
    inner.imatrix = entries
    try:
        yield
    finally:
        inner.imatrix = None


def _inside(params: Any) -> _Params:
    """The C structure at the end of cyllama's object, where what cyllama says of each field is what stands there."""
    inner = _Params.from_address(id(params) + type(params).__basicsize__ - ctypes.sizeof(_Params))
    before = params.nthread, params.dry_run
    for threads, dry in ((0x5A17, True), (3, False)):
        params.nthread, params.dry_run = threads, dry
        plain = [name for name, kind in _Params._fields_[:10]]
        pointers = (inner.imatrix, inner.kv_overrides, inner.tt_overrides, inner.prune_layers)
        if [getattr(inner, name) for name in plain] != [getattr(params, name) for name in plain] or any(pointers):
            hint = "Quantize with llama.cpp's own program: llama-quantize --imatrix FILE MODEL OUTPUT TYPE."
            raise SwiftError("this version of cyllama takes no importance matrix", where="imatrix", hint=hint)
    params.nthread, params.dry_run = before
    return inner


def tensor_names(file: Path) -> set[str]:
    """Names of the tensors of a GGUF file."""
    from cyllama.llama.llama_cpp import GGUFContext

    with GGUFContext.from_file(str(file)) as header:
        return {header.get_tensor_name(number) for number in range(header.n_tensors)}


def _tensors(file: Path) -> dict[str, array[float]]:
    """The tensors of a matrix: float32 numbers."""
    from cyllama.llama.llama_cpp import GGUFContext

    found: dict[str, array[float]] = {}
    with file.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            return found
        with GGUFContext.from_file(str(file)) as header:
            for number in range(header.n_tensors):
                name = header.get_tensor_name(number)
                if name.endswith((_SUMS, _COUNTS)):
                    stream.seek(header.data_offset + header.get_tensor_offset(number))
                    found[name] = array("f")
                    found[name].frombytes(stream.read(header.get_tensor_size(number)))
    return found
