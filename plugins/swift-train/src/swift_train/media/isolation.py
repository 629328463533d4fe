"""Test on the loaded model whether rows with media may share a forward pass, after rows of text were found to.

The losses of a few rows of the run in one pass are compared with those of each alone. Media are what text can't show: positions of three
axes, tokens of an image that attend to each other, tensors that are concatenated along an axis. A row whose own media are changed to their
negatives must change clearly more than that, or nothing was tested.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from swift_train.batches import Micro, collate
from swift_train.row_groups import RowGroup
from swift_train.row_probe import ProbeFailed, RowProbe, root_mean_square

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_train.batches import RowBoundaries
    from swift_train.media.collate import MediaCollator
    from swift_train.samples import Samples
    from swift_train.strategy import Strategy
    from swift_train.tasks import ForwardLoss

_SAMPLED = 64  # rows of which the shortest are probed
_SAME, _NARROW_SAME = 4e-6, 2e-2  # largest difference relative to the loss, in float32 and in narrower types
_NARROW = 1e-5  # the machine epsilon of bfloat16 and float16 is larger
_VISIBLE = 3.0  # minimum effect of a file, as a multiple of the tolerance
_AFFECTED = "in this architecture rows with media that share a forward pass affect each other"


def media_problem(
    strategy: Strategy, task: ForwardLoss, samples: Samples, media: MediaCollator, boundaries: RowBoundaries
) -> tuple[str, dict[str, float]]:
    """Return why rows with images can't share a pass, empty if they can, and the figures of the probe. Collective.

    Args:
        strategy, task: compute the losses; the strategy is built.
        samples: of the run, some with media.
        media: builds their tensors.
        boundaries: how row starts are passed to the model.
    """
    rows = _rows(samples)

    def micro(*numbers: int) -> Micro:
        return collate(samples, RowGroup(tuple(numbers), 1.0), boundaries, media)

    with RowProbe(strategy, task, ()) as probe:
        try:
            alone = np.concatenate([probe.losses(micro(row)) for row in rows])
            together = probe.losses(micro(*rows))
            changed = probe.losses(_negative(micro(rows[0])))
        except ProbeFailed as error:
            return f"{_AFFECTED}, or can't be tested: {error}", {}
        loss = float(np.abs(alone).mean())
        tolerance = (_SAME if probe.precision < _NARROW else _NARROW_SAME) * loss
    found = {
        "media_together": root_mean_square(alone, together),
        "media_tolerance": tolerance,
        "media_effect": root_mean_square(alone[: len(changed)], changed),
    }
    if found["media_together"] > tolerance:
        return _AFFECTED, found
    if found["media_effect"] < _VISIBLE * tolerance:
        return "whether rows with media affect each other is unknown: the model does not react to them", found
    return "", found


def _rows(samples: Samples) -> Sequence[int]:
    """Return two short rows with media, which may be the same one, and a short row of text if there is one."""
    with_media = np.flatnonzero(samples.media_counts > 0)[:_SAMPLED]
    of_text = np.flatnonzero(samples.media_counts == 0)[:_SAMPLED]
    shortest = with_media[np.argsort(samples.lengths[with_media], kind="stable")]
    text = of_text[np.argsort(samples.lengths[of_text], kind="stable")][:1]
    return [int(shortest[0]), *text.tolist(), int(shortest[min(1, len(shortest) - 1)])]


def _negative(micro: Micro) -> Micro:
    """Return a micro-batch with the negatives of its media."""
    assert micro.media is not None
    inputs = tuple(
        {name: -value if value.is_floating_point() and value.dim() > 1 and "mask" not in name else value for name, value in own.items()}
        for own in micro.media.inputs
    )
    return replace(micro, media=replace(micro.media, inputs=inputs))
