"""Learn from the tokens with the highest entropy alone (Wang et al. 2025, https://arxiv.org/abs/2506.01939)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from swift_train.scoring import with_column

from swift_plugin_grpo.losses import ENTROPIC

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.scoring import Step
    from torch import Tensor


def with_highest_entropy(step: Step, micros: Sequence[Micro], share: float, temperature: float) -> Sequence[Micro]:
    """Add a column that is 1 for the tokens of the step, over all processes, with the highest entropy, else 0. Collective.

    Args:
        step, micros: of the step.
        share: of the tokens that are 1.
        temperature: of the sampling.
    """

    def entropy(output: Tensor, _: Micro) -> Tensor:
        every = torch.log_softmax(output.float() / temperature, -1)
        return -(every.exp() * every).sum(-1)

    found = step.score(micros, entropy)
    counted = [values[micro.weights > 0] for micro, values in zip(micros, found, strict=False)]  # without fillers
    every = torch.cat(step.gather(torch.cat(counted) if counted else None))
    threshold = float(np.quantile(every.numpy(), 1 - share, method="lower"))
    return with_column(micros, ENTROPIC, [(values >= threshold).float() for values in found])
