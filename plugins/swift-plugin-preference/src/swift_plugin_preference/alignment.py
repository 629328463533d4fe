"""Optimal transport between the answers of a step, for the losses aot and aot_unpaired (Melnyk et al. 2024, arXiv:2406.05882).

These losses compare sorted log-ratios, so a pair's term depends on the other pairs of the step. A pass without gradients finds each pair's
place in the order over all processes, and what stands at that place in the other order becomes a column. The order does not change within
the step, so the gradient is that of the whole step at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from swift_plugin_preference.answers import log_probabilities

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.scoring import Step
    from torch import Tensor

COLUMN = "aligned"


def with_alignment(step: Step, micros: Sequence[Micro], *, paired: bool) -> Sequence[Micro]:
    """Add the column: for each sequence, the log-ratio that it is compared with. Collective.

    Args:
        step, micros: of the step.
        paired: compare differences of a pair between policy and reference (aot), or ratios between chosen and rejected (aot_unpaired).
    """
    own: dict[int, list[float]] = {}
    for micro, found in zip(micros, step.score(micros, log_probabilities), strict=False):  # no output before the last stage of a pipeline
        for number, row in enumerate(micro.rows):
            if float(micro.sample_weights[number]):
                places = slice(2 * number, 2 * number + 2)
                own[row] = [*found[places].tolist(), *micro.columns["reference"][places].tolist()]
    every: dict[int, list[float]] = {}
    for part in step.gather(own or None):
        every |= part
    rows = sorted(every)
    values = torch.tensor([every[row] for row in rows])
    if paired:
        aligned = _aligned(values[:, 0] - values[:, 1], values[:, 2] - values[:, 3])
        found_by_row = {row: [value, value] for row, value in zip(rows, aligned.tolist(), strict=True)}
    else:
        chosen, rejected = values[:, 0] - values[:, 2], values[:, 1] - values[:, 3]
        both = zip(_aligned(chosen, rejected).tolist(), _aligned(rejected, chosen).tolist(), strict=True)
        found_by_row = {row: list(pair) for row, pair in zip(rows, both, strict=True)}
    return [
        replace(micro, columns={**micro.columns, COLUMN: torch.tensor([value for row in micro.rows for value in found_by_row[row]])})
        for micro in micros
    ]


def _aligned(values: Tensor, others: Tensor) -> Tensor:
    """Return for each value the one of the others that stands at the same place in their order."""
    found = torch.empty_like(others)
    found[values.argsort(stable=True)] = others.sort(stable=True).values
    return found
