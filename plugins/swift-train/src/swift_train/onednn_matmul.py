"""Matrix products in float32 on a CPU by oneDNN, forward and backward.

torch computes them by the BLAS library that it was built with. Intel's MKL uses AVX2 only on AMD's processors: on one core of an EPYC with
AVX-512 it reaches 100 GFLOP/s, and oneDNN 230, with the same results but for rounding. The CPU kernels of `aten::mm` and `aten::addmm`,
which linear layers and their gradients call, are replaced in the whole process, so that no model or training strategy has to know.
"""

from __future__ import annotations

import os
import warnings
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.library import Library

_ROWS, _PRODUCTS = 4, 2**20  # below them, MKL is as fast or faster
_CACHED_KERNELS = "64"  # oneDNN generates one for each shape, of about 0.7 MiB; its own limit is 1,024


@cache
def use_onednn_matmul() -> Library | None:
    """Let oneDNN compute matrix products in this process from now on, if it is faster on this processor.

    The kind of processor decides. By a measurement, the last digits of results would depend on the machine's load.
    """
    return replaced_matmul() if _faster() else None


def replaced_matmul() -> Library:
    """Replace the CPU kernels of matrix products, once in a process; they come back when the returned library is destroyed."""
    for variable in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(variable, _CACHED_KERNELS)
    library = Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    with warnings.catch_warnings(action="ignore"):  # torch warns that kernels are replaced
        library.impl("mm", _mm, "CPU")  # type: ignore[no-untyped-call]
        library.impl("addmm", _addmm, "CPU")  # type: ignore[no-untyped-call]
    return library


def _mm(a: Tensor, b: Tensor) -> Tensor:
    if _pays(a, b):
        return torch.ops.mkldnn._linear_pointwise(a, b.t(), None, "none", [], "")  # type: ignore[no-any-return]
    return torch.mm(a, b, out=a.new_empty((a.shape[0], b.shape[1])))


def _addmm(bias: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    if beta == 1 and alpha == 1 and bias.dtype is torch.float32 and bias.shape == b.shape[1:] and _pays(a, b):
        return torch.ops.mkldnn._linear_pointwise(a, b.t(), bias.contiguous(), "none", [], "")  # type: ignore[no-any-return]
    return torch.addmm(bias, a, b, beta=beta, alpha=alpha, out=a.new_empty((a.shape[0], b.shape[1])))


def _pays(a: Tensor, b: Tensor) -> bool:
    """Return whether a product is of float32 matrices that fit, large enough for the 10 µs that a call of oneDNN takes."""
    (rows, inner), (of_b, columns) = a.shape, b.shape
    large = rows >= _ROWS and rows * inner * columns >= _PRODUCTS
    return large and inner == of_b and a.dtype is torch.float32 and b.dtype is torch.float32


def _faster() -> bool:
    """Return whether this is an AMD processor with AVX-512, and torch has both libraries."""
    if not (torch._C.has_mkl and torch._C._has_mkldnn and torch.cpu._is_avx512_supported()):
        return False
    description = Path("/proc/cpuinfo")
    return description.is_file() and "AuthenticAMD" in description.read_text()
