"""Check weights for NaN and infinity, which would otherwise show up later as NaN losses and outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from swift_core.contract import UsageError


def check_finite(model: Any, folder: Path) -> None:
    """Check that all weights are finite, by one sum per tensor on its device: NaN and infinity propagate to the sum.

    Raises:
        UsageError: weights are NaN or infinite; the message names their tensors.
    """
    floats = [(name, weight) for name, weight in model.named_parameters() if weight.dtype.is_floating_point and weight.element_size() > 1]
    wrong = [name for name, weight in floats if not weight.is_meta and not _finite(weight.detach())]
    if wrong:
        shown = ", ".join(wrong[:5]) + (", …" if len(wrong) > 5 else "")
        raise UsageError(
            f"NaN or infinite values in {len(wrong)} of the weights: {shown}",
            code="MODEL-008",
            where=str(folder),
            hint="Fetch the checkpoint again; if you trained it, the training has diverged: use an earlier checkpoint.",
        )


def _finite(weight: torch.Tensor) -> bool:
    total = weight.sum()
    return bool(torch.isfinite(total)) or bool(torch.isfinite(weight).all())  # the sum of large finite numbers can overflow
