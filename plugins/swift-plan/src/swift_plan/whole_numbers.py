"""A mode in which what a model reads of its inputs is real among fake tensors: whole numbers, truth values, and the pixels themselves.

Models with images, videos or audio read such tensors while they run: the grids of images, the places of their tokens, the lengths of rows,
and which images are padding. Everything that is computed with weights is fake.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensor, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

_MOST = 1 << 26  # elements of a tensor that is made; larger ones are masks of tokens × tokens, which nobody reads
_MOVES = (torch.ops.aten._to_copy, torch.ops.aten.cat, torch.ops.aten.clone, torch.ops.aten.constant_pad_nd)
_SHAPED = (DataDependentOutputException, DynamicOutputShapeException)


class WholeNumbers(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """To be entered after a `FakeTensorMode` that takes real inputs."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        """Run an operator on real tensors if all inputs are real, and it moves or casts them, or gives whole numbers."""
        kwargs = kwargs or {}
        tensors = [each for each in tree_iter((args, kwargs)) if isinstance(each, Tensor)]
        if any(isinstance(each, FakeTensor) or each.is_meta for each in tensors):
            return _by_mask(func, args) if _takes_mask(func, args) else func(*args, **kwargs)
        if not (func.is_view or func._schema.is_mutable or (tensors and func.overloadpacket in _MOVES)):
            try:
                faked = func(*args, **kwargs)
            except _SHAPED:
                pass
            else:
                made = [each for each in tree_iter(faked) if isinstance(each, Tensor)]
                if any(each.is_floating_point() or each.is_meta or each.numel() > _MOST for each in made):
                    return faked
        with unset_fake_temporarily():
            return func(*args, **kwargs)


def _takes_mask(func: Any, args: Any) -> bool:
    """Return whether an operator chooses elements by a mask, which decides the shape of its output."""
    if func.overloadpacket not in (torch.ops.aten.masked_select, torch.ops.aten.index, torch.ops.aten.index_put):
        return False
    masks = [args[1]] if isinstance(args[1], Tensor) else args[1]
    return len(masks) == 1 and isinstance(masks[0], Tensor) and masks[0].dtype == torch.bool


def _by_mask(func: Any, args: Any) -> Tensor:
    """Return a tensor of the shape that the operator gives; a fake mask, computed from pixels or sound, is taken to choose everything."""
    chosen: Tensor = args[0]
    if func.overloadpacket is torch.ops.aten.index_put:
        return torch.empty_like(chosen)
    mask: Tensor = args[1] if isinstance(args[1], Tensor) else args[1][0]
    if isinstance(mask, FakeTensor):
        return chosen.flatten(0, mask.dim() - 1).clone()
    with unset_fake_temporarily():
        count = int(mask.expand(chosen.shape[: mask.dim()]).sum())
    return chosen.new_empty((count, *chosen.shape[mask.dim() :]))
