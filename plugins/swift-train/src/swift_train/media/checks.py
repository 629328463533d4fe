"""Refuse rows with media where they would stop the processes of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.contract import UsageError
from swift_train.samples import Samples

if TYPE_CHECKING:
    from swift_train.stream import Stream


def check_shared_towers(rows: Samples | Stream, heldout: Samples | None, *, shards: bool, processes: int) -> None:
    """Check that all processes call the towers of the model equally often, which sharded weights need: each call gathers them.

    Args:
        rows, heldout: training and validation rows.
        shards: the strategy shards the weights over the processes.
        processes: of the run.

    Raises:
        UsageError: some rows have media and others have none, on several processes that hold shards of the weights.
    """
    if not shards or processes == 1:
        return
    known = [rows if isinstance(rows, Samples) else rows.head(), *([heldout] if heldout is not None else [])]
    having = {bool(count) for samples in known for count in samples.media_counts.tolist()}
    if True in having and (False in having or not isinstance(rows, Samples)):
        raise UsageError(
            "some rows have no pictures, and this strategy shards the image encoder over the processes, which must all call it",
            code="TRAIN-158",
            where="parallel",
            hint="Use --parallel ddp, or rows that all have pictures, without streaming.",
        )
