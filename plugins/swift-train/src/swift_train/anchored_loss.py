"""The anchor of ASFT: the divergence of a model from what it was before the training (https://arxiv.org/abs/2509.23753).

The loss is that of `dft`, which lets a model drift, plus `asft_alpha` times the divergence of the distributions at the supervised tokens,
from the model before training to the model. A frozen copy of the base computes the former in each pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from swift_core.contract import Problem

if TYPE_CHECKING:
    from torch import Tensor

    from swift_core.contract import Run

ASFT = "asft"
_SPLIT = ("context", "pipeline", "tensor")


def anchor_divergence(logits: Tensor, anchor: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum of KL(anchor ‖ model) at each token, float32.

    Args:
        logits, anchor: (rows, vocabulary), of the model and of the copy, which has no gradient.
        weights: (rows,) float32.
    """
    import torch
    from torch.nn.functional import kl_div

    own, other = (torch.log_softmax(each, -1, dtype=torch.float32) for each in (logits, anchor))
    return (weights * kl_div(own, other, reduction="none", log_target=True).sum(-1)).sum()


def problems(run: Run) -> Iterator[Problem]:
    """Yield why a run can't have the anchor: a strategy computes parts of the rows or of the layers on each process."""
    options: dict[str, Any] = dict(run.part("task").options)
    if options.get("loss_type") != ASFT:
        return
    choice = run.part("parallel")
    if choice.name == "megatron" or any(int(choice.options.get(size) or 1) > 1 for size in _SPLIT):
        message = "the frozen copy that asft compares with computes whole rows, and these processes share them"
        yield Problem(code="TRAIN-270", where="loss_type", message=message, hint="Use --parallel ddp, fsdp or zero3.")
    if options.get("neftune_noise_alpha"):
        message = "the noise of NEFTune would be measured as a divergence from the model before training"
        yield Problem(code="TRAIN-271", where="neftune_noise_alpha", message=message, hint="Leave one of the two out.")
