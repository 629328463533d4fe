"""The micro-batches of a run: how its options, its model and its strategy limit them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, overload

from swift_train.batches import Micro, collate
from swift_train.row_groups import RowGroup, Sharing, max_micro_tokens, split_rows
from swift_train.sampler import LookaheadSampler

if TYPE_CHECKING:
    from swift_train.batches import RowBoundaries
    from swift_train.media.collate import MediaCollator
    from swift_train.options import TrainOptions
    from swift_train.row_comparison import Isolation
    from swift_train.sampler import StepSampler
    from swift_train.samples import Samples
    from swift_train.strategy import Strategy

_AT_ONCE = 32  # micro-batches of an evaluation between two checks for a stop request
_AHEAD = 2  # micro-batches whose media are decoded ahead within a step


class MicroBatches:
    """Splits rows into the micro-batches of a rank, and collates them.

    Args:
        options: of the task.
        max_length: maximum tokens per row.
        isolation: whether and how rows may share a forward pass.
        strategy: the parallel strategy, already built.
        media: builds the media of micro-batches, if the model has such inputs.
    """

    def __init__(
        self, options: TrainOptions, max_length: int, isolation: Isolation, strategy: Strategy, media: MediaCollator | None = None
    ) -> None:
        self._options, self._isolation, self._strategy, self._media = options, isolation, strategy, media
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
        return split_rows(
            rows, samples.lengths, rank=strategy.data_rank if rank is None else rank, ranks=strategy.data_size, max_rows=limit,
            max_tokens=self._max_tokens, sharing=self._sharing(samples),
        )  # fmt: skip

    def _sharing(self, samples: Samples) -> Sharing | None:
        """Return how rows profit from each other in a pass; a limit of tokens that the user has set is kept in any case."""
        if not self._isolation.shares_prefixes:
            return None
        return Sharing(samples.shared_tokens, (lambda one, other: False) if self._options.micro_tokens else samples.same_prompt)

    def training(self, samples: Samples, rows: Sequence[int]) -> Sequence[Micro]:
        """Return this rank's micro-batches of a training step; packs of rows are not split by `batch_size`."""
        return self.collate(samples, self._training_groups(samples, rows))

    def fetch_after(self, sampler: StepSampler, index: int) -> None:
        """Start to decode the media of the step after `index`, if its rows are known."""
        if self._media is None or not isinstance(sampler, LookaheadSampler) or (following := sampler.following(index)) is None:
            return
        samples, rows = following
        if samples.media_counts[rows].any():
            self._media.ask(samples, self._training_groups(samples, rows))

    def _training_groups(self, samples: Samples, rows: Sequence[int]) -> list[RowGroup]:
        return self.groups(samples, rows, len(rows) if self._options.packing else self._options.batch_size)

    def evaluated(self, samples: Samples, together: int | None) -> Iterator[tuple[Sequence[int], Sequence[Micro]]]:
        """Yield blocks of the rows of an evaluation, with this rank's micro-batches of each.

        Args:
            samples: the rows.
            together: rows of a block; None for blocks of a few micro-batches, each with all rows.
        """
        every = range(len(samples))
        if together is None:
            groups = self.evaluation(samples, every)
            yield from ((every, self.collate(samples, groups[at : at + _AT_ONCE])) for at in range(0, len(groups), _AT_ONCE))
            return
        for rows in (every[start : start + together] for start in range(0, len(samples), together)):
            yield rows, self.collate(samples, self.evaluation(samples, rows))

    def evaluation(self, samples: Samples, rows: Sequence[int]) -> list[RowGroup]:
        """Return the rows of each of this rank's micro-batches for an evaluation."""
        return self.groups(samples, rows, self._options.eval_batch_size or self._options.batch_size)

    def collate(self, samples: Samples, groups: Sequence[RowGroup]) -> Sequence[Micro]:
        """Return the tensors of micro-batches, on the CPU. Those with media are built when they are read, each time anew."""
        if self._media is None or not samples.media_counts[[row for group in groups for row in group.rows]].any():
            share = self._isolation.shares_prefixes
            return [collate(samples, group, self._isolation.boundaries, share=share) for group in groups]
        return MediaMicros(samples, groups, self._isolation.boundaries, self._media)


class MediaMicros(Sequence[Micro]):
    """Micro-batches that are built when they are read; meanwhile the media of the next ones are decoded."""

    def __init__(self, samples: Samples, groups: Sequence[RowGroup], boundaries: RowBoundaries, media: MediaCollator) -> None:
        self._samples, self._groups, self._boundaries, self._media = samples, groups, boundaries, media
        media.ask(samples, groups[:_AHEAD])

    def __len__(self) -> int:
        return len(self._groups)

    @overload
    def __getitem__(self, index: int) -> Micro: ...

    @overload
    def __getitem__(self, index: slice) -> MediaMicros: ...

    def __getitem__(self, index: int | slice) -> Micro | MediaMicros:
        """Build a micro-batch."""
        if isinstance(index, slice):
            return MediaMicros(self._samples, self._groups[index], self._boundaries, self._media)
        self._media.ask(self._samples, self._groups[index + 1 : index + 1 + _AHEAD])
        return collate(self._samples, self._groups[index], self._boundaries, self._media)
