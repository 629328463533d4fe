"""Let PyPI's torchvision be imported beside a CPU build of torch, for tests.

That torchvision is built for CUDA, so its C++ library can't be loaded, and its import fails where it names its own operators. Here they are
declared without kernels. Image and video processors use `torchvision.transforms` alone, which is written in torch; `nms` and `roi_align`
stay without an implementation.
"""

from __future__ import annotations

from typing import Any

import torch

_OPERATORS = (
    "roi_align", "_roi_align_backward", "ps_roi_align", "_ps_roi_align_backward", "roi_pool", "_roi_pool_backward", "ps_roi_pool",
    "_ps_roi_pool_backward", "qroi_align", "deform_conv2d", "_deform_conv2d_backward", "nms", "qnms",
)  # fmt: skip
_LIBRARY: list[Any] = []  # its operators live as long as it does


def declare_operators() -> None:
    """Declare torchvision's operators, unless its library was loaded."""
    try:
        _ = torch.ops.torchvision.nms.default
    except AttributeError:
        library: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for name in _OPERATORS:
            library.define(f"{name}(Tensor x) -> Tensor")
        _LIBRARY.append(library)
