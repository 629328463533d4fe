"""Importance matrices (imatrix): the mean squared activation of each weight column, measured on a calibration set.

llama.cpp's file format has two tensors per weight: `NAME.in_sum2`, the sum of squares of each input, and `NAME.counts`, the number of
tokens (one value per expert). cyllama has no way to pass a matrix to the quantizer, although the C interface accepts one. So the
pointer is written into the C structure inside cyllama's object, after a check that its layout is that of `llama.h`.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swift_core.contract import SwiftError, UsageError

FILE = "imatrix.gguf"
_SUMS, _COUNTS = ".in_sum2", ".counts"
HINT = "Create one with: swift export CHECKPOINT --to imatrix --dataset ROWS, or with llama.cpp's llama-imatrix."


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


def matrix_file(option: str) -> Path:
    """Return the importance matrix file that the option names: the file itself, or the one in a folder written by `--to imatrix`.

    Raises:
        UsageError: the file does not exist.
    """
    path = Path(option, FILE) if Path(option).is_dir() else Path(option)
    if not path.is_file():
        raise UsageError(f"there is no importance matrix at {path}", code="SERVE-022", where="imatrix", hint=HINT)
    return path


def read_matrix(file: Path) -> dict[str, array[float]]:
    """Read the mean square of each input of each weight.

    Returns:
        By weight name, (experts · columns) float32 values, expert after expert; 1 for experts that no token reached.

    Raises:
        UsageError: the file is not an importance matrix in GGUF format.
    """
    tensors = _tensors(file)
    names = [name.removesuffix(_SUMS) for name in tensors if name.endswith(_SUMS)]
    if not names or any(name + _COUNTS not in tensors for name in names):
        raise UsageError("not an importance matrix in GGUF format", code="SERVE-023", where=str(file), hint=HINT)
    means: dict[str, array[float]] = {}
    for name in names:
        sums, counts = tensors[name + _SUMS], tensors[name + _COUNTS]
        columns = len(sums) // len(counts)
        means[name] = array("f", (total / count if (count := counts[index // columns]) else 1.0 for index, total in enumerate(sums)))
    return means


@contextmanager
def with_matrix(params: Any, matrix: Mapping[str, array[float]]) -> Iterator[None]:
    """Set the importance matrix in cyllama's quantizer parameters; run the quantizer inside the context.

    Args:
        params: cyllama's LlamaModelQuantizeParams.
        matrix: the values by weight name, as `read_matrix` returns them; they must stay alive inside the context.

    Raises:
        SwiftError: the memory layout of this cyllama's parameters is unknown.
    """
    entries = (_Entry * (len(matrix) + 1))()  # the last entry has no name and ends the list
    for entry, (name, values) in zip(entries, matrix.items(), strict=False):
        entry.name, entry.size = name.encode(), len(values)
        entry.data = (ctypes.c_float * len(values)).from_buffer(values)
    structure = _c_structure(params)
    structure.imatrix = entries
    try:
        yield
    finally:
        structure.imatrix = None


def _c_structure(params: Any) -> _Params:
    """Return the C structure at the end of cyllama's object, after checking that its fields have the values cyllama reports."""
    structure = _Params.from_address(id(params) + type(params).__basicsize__ - ctypes.sizeof(_Params))
    before = params.nthread, params.dry_run
    for threads, dry in ((0x5A17, True), (3, False)):
        params.nthread, params.dry_run = threads, dry
        scalars = [field[0] for field in _Params._fields_[:10]]
        pointers = (structure.imatrix, structure.kv_overrides, structure.tt_overrides, structure.prune_layers)
        if [getattr(structure, name) for name in scalars] != [getattr(params, name) for name in scalars] or any(pointers):
            hint = "Quantize with llama.cpp's own program: llama-quantize --imatrix FILE MODEL OUTPUT TYPE."
            raise SwiftError("this version of cyllama does not support importance matrices", code="SERVE-024", where="imatrix", hint=hint)
    params.nthread, params.dry_run = before
    return structure


def tensor_names(file: Path) -> set[str]:
    """Return the names of the tensors in a GGUF file."""
    from cyllama.llama.llama_cpp import GGUFContext

    with GGUFContext.from_file(str(file)) as header:
        return {header.get_tensor_name(number) for number in range(header.n_tensors)}


def _tensors(file: Path) -> dict[str, array[float]]:
    """Read the float32 tensors of an importance matrix file, by name; empty if it is not a GGUF file."""
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
