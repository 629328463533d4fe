"""Weights that are numbers: one that is not makes every answer and every loss NaN, which is then blamed on something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from swift_core.contract.errors import UsageError


def check_finite(model: Any, folder: Path) -> None:
    """Refuse weights that are NaN or infinite. One sum a tensor, where it lies: a NaN or an infinity stays one in it.

    Raises:
        UsageError: there are some, with the names of their tensors.
    """
    floats = [(name, weight) for name, weight in model.named_parameters() if weight.dtype.is_floating_point and weight.element_size() > 1]
    wrong = [name for name, weight in floats if not weight.is_meta and not _finite(weight.detach())]
    if wrong:
        shown = ", ".join(wrong[:5]) + (", …" if len(wrong) > 5 else "")
        raise UsageError(
            f"{len(wrong)} of the weights hold NaN or infinite numbers: {shown}",
            where=str(folder),
            hint="Fetch the checkpoint again; where it is your own, its training has diverged: take an earlier checkpoint.",
        )


def _finite(weight: torch.Tensor) -> bool:
    total = weight.sum()
    return bool(torch.isfinite(total)) or bool(torch.isfinite(weight).all())  # a sum of large numbers can overflow
