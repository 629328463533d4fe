"""Linear layers in float32 on a CPU by oneDNN, for forward passes without gradients.

torch computes them with the BLAS that it was built with. MKL is as fast as oneDNN on Intel's processors only: on one core of an AMD EPYC
with AVX-512 it reaches 100 GFLOP/s, and oneDNN 230, with the same results but for rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.nn.parameter import Parameter
from torch.overrides import TorchFunctionMode

_PLAIN = (Tensor, Parameter)  # quantized weights are of other classes


class OneDnnLinear(TorchFunctionMode):
    """A context in which `torch.nn.functional.linear` is computed by oneDNN if it can be; all else is unchanged."""

    def __init__(self) -> None:
        super().__init__()
        self._available = torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_linear_pointwise")

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Compute a function of torch."""
        if func is linear and self._available and not kwargs and _computable(*args):
            values, weight, *bias = args
            return torch.ops.mkldnn._linear_pointwise(values, weight, bias[0] if bias else None, "none", [], "")
        return func(*args, **(kwargs or {}))


def _computable(values: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    """Return whether oneDNN gives the same: plain float32 matrices on a CPU, no gradients."""
    return (
        not torch.is_grad_enabled()
        and all(type(each) in _PLAIN and each.device.type == "cpu" and each.dtype == torch.float32 for each in (values, weight))
        and (bias is None or (type(bias) in _PLAIN and bias.dtype == torch.float32))
        and weight.dim() == 2
        and values.dim() >= 2
        and values.numel() > 0
    )
