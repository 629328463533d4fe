"""The micro-batches of a run: how its options, its model and its strategy limit them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from swift_train.batches import RowGroup, collate, max_micro_tokens, split_rows

if TYPE_CHECKING:
    from swift_train.batches import Micro
    from swift_train.options import TrainOptions
    from swift_train.row_isolation import Isolation
    from swift_train.samples import Samples
    from swift_train.strategy import Strategy


class MicroBatches:
    """Splits rows into the micro-batches of a rank, and collates them.

    Args:
        options: of the task.
        max_length: maximum tokens per row.
        isolation: whether and how rows may share a forward pass.
        strategy: the parallel strategy, already built.
    """

    def __init__(self, options: TrainOptions, max_length: int, isolation: Isolation, strategy: Strategy) -> None:
        self._options, self._isolation, self._strategy = options, isolation, strategy
        tokens = max_micro_tokens(options.micro_tokens, strategy.device)
        self._max_tokens = min(tokens, max_length * options.batch_size) if options.packing else tokens

    def groups(self, samples: Samples, rows: Sequence[int], max_rows: int, rank: int | None = None) -> list[RowGroup]:
        """Return the rows of each micro-batch of this rank, or of another.

        Args:
            samples, rows: the samples, and the indices of the rows over all ranks.
            max_rows: maximum rows per micro-batch.
            rank: a data rank; None for this one.
        """
        strategy, limit = self._strategy, max_rows if self._isolation.together else 1
        rank = strategy.data_rank if rank is None else rank
        return split_rows(rows, samples.lengths, rank=rank, ranks=strategy.data_size, max_rows=limit, max_tokens=self._max_tokens)

    def training(self, samples: Samples, rows: Sequence[int]) -> list[Micro]:
        """Return this rank's micro-batches of a training step; packs of rows are not split by `batch_size`."""
        return self.collate(samples, self.groups(samples, rows, len(rows) if self._options.packing else self._options.batch_size))

    def evaluation(self, samples: Samples, rows: Sequence[int]) -> list[RowGroup]:
        """Return the rows of each of this rank's micro-batches for an evaluation."""
        return self.groups(samples, rows, self._options.eval_batch_size or self._options.batch_size)

    def collate(self, samples: Samples, groups: Sequence[RowGroup]) -> list[Micro]:
        """Return the tensors of micro-batches, on the CPU."""
        return [collate(samples, group, self._isolation.boundaries) for group in groups]
