"""Split the rows of a step over ranks and micro-batches, and collate them into tensors without padding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from math import ceil, inf
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from swift_train.media.micro import MicroMedia
    from swift_train.samples import Sample, Samples


SECOND = "second_segment"  # a column by sequence: index of the first token of its second segment (BERT's token types)
CPU_TOKENS = 512  # measured: with fewer tokens per pass the cores wait for each other, with more only memory use grows


class RowBoundaries(Enum):
    """The arguments that tell a model where each row of a micro-batch begins."""

    POSITION_IDS = "position_ids"
    CU_SEQLENS = "position_ids, cu_seq_lens and seq_idx"  # for variable-length kernels of attention and recurrent layers
    MROPE = "position_ids of four axes"  # text, time, height and width (M-RoPE of Qwen2-VL); for text all four are the position


@dataclass(frozen=True, slots=True)
class Micro:
    """A micro-batch: whole sequences concatenated, without padding.

    `positions` are the indices of the outputs that are scored, each one before a supervised token; `labels` are those tokens.
    A sample is a sequence, or several (a chosen and a rejected answer); the tensors by sequence and sample are for losses that are no sums
    over tokens. Fillers, which give every rank the same number of micro-batches, have weight 0.
    """

    input_ids: Tensor  # (1, tokens) int64
    position_ids: Tensor  # (1, tokens) int64, from 0 in each row
    positions: Tensor  # (supervised,) int64
    labels: Tensor  # (supervised,) int64
    weights: Tensor  # (supervised,) float32
    rows: tuple[int, ...]  # indices of the samples
    sequence: Tensor  # (supervised,) int64: number of the sequence that each scored position is in
    sample: Tensor  # (sequences,) int64: number of the sample that each sequence is in
    sample_weights: Tensor  # (samples,) float32: 1, or 0 for a filler
    columns: Mapping[str, Tensor] = field(default_factory=dict)  # (sequences,) or (supervised,) float32: numbers beside the tokens
    lengths: tuple[int, ...] = ()  # full lengths of the rows, if this holds only a shard of their tokens (swift_train.context_parallel)
    boundaries: RowBoundaries = RowBoundaries.POSITION_IDS  # how the beginnings of rows are passed to the model
    media: MicroMedia | None = None  # of sequences with media files

    @property
    def plain(self) -> bool:
        """True for a single whole row, for which the model's default positions are right."""
        return len(self.sample) == 1 and not self.lengths

    def sums(self, values: Tensor) -> Tensor:
        """Sum a number per scored position over each sequence: (supervised,) → (sequences,)."""
        return values.new_zeros(len(self.sample)).index_add(0, self.sequence, values)

    def only(self, chosen: Tensor) -> Micro:
        """Return the micro-batch with only some of its sequences; columns must be by sequence.

        Args:
            chosen: (sequences,) bool, on the CPU.
        """
        numbers = (self.position_ids[0] == 0).cumsum(0) - 1  # of the sequence that each token is in
        tokens, scored = chosen[numbers], chosen[self.sequence]
        place, number = tokens.cumsum(0) - 1, chosen.cumsum(0) - 1
        return replace(
            self,
            input_ids=self.input_ids[:, tokens],
            position_ids=self.position_ids[:, tokens],
            positions=place[self.positions[scored]],
            labels=self.labels[scored],
            weights=self.weights[scored],
            sequence=number[self.sequence[scored]],
            sample=self.sample[chosen],
            columns={name: values[chosen] for name, values in self.columns.items()},
            media=self.media.only(chosen, tokens) if self.media else None,
        )

    def as_filler(self) -> Micro:
        """Return a copy with weight 0."""
        return replace(self, weights=torch.zeros_like(self.weights), sample_weights=torch.zeros_like(self.sample_weights))

    @property
    def row_arguments(self) -> dict[str, Any]:
        """Keyword arguments with which a transformers model keeps the rows separate, and those of media; empty for a single row of text."""
        return {**self._separation, **self._segments, **(self.media.arguments if self.media else {})}

    @property
    def _segments(self) -> dict[str, Any]:
        if SECOND not in self.columns:
            return {}
        numbers = (self.position_ids[0] == 0).cumsum(0) - 1  # of the sequence that each token is in
        return {"token_type_ids": (self.position_ids >= self.columns[SECOND][numbers]).long()}

    @property
    def _separation(self) -> dict[str, Any]:
        if self.plain and not (self.media and self.media.explicit):
            return {}
        if self.boundaries is not RowBoundaries.CU_SEQLENS or self.lengths:
            return {"position_ids": self._all_positions}
        starts = self.position_ids[0] == 0
        ends = torch.cat([starts.nonzero().squeeze(1), starts.new_tensor([len(starts)], dtype=torch.int64)]).int()
        max_length = int(ends.diff().max())
        varlen = {"cu_seq_lens_q": ends, "cu_seq_lens_k": ends, "max_length_q": max_length, "max_length_k": max_length}
        return {"position_ids": self._all_positions, **varlen, "seq_idx": (starts.cumsum(0) - 1).int()[None]}

    @property
    def _all_positions(self) -> Tensor:
        """Positions as the model takes them: (1, tokens), or of four axes, (4, 1, tokens), of which media set three."""
        if self.media is not None and self.media.positions is not None:
            return torch.cat([self.position_ids[None], self.media.positions])
        return self.position_ids.expand(4, *self.position_ids.shape) if self.boundaries is RowBoundaries.MROPE else self.position_ids

    def to(self, device: torch.device) -> Micro:
        """Return a copy with its tensors on a device."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True) for name, value in values.items() if isinstance(value, torch.Tensor)
        }
        columns = {name: value.to(device, non_blocking=True) for name, value in self.columns.items()}
        return replace(self, **moved, columns=columns, media=self.media.to(device) if self.media else None)


class RowGroup(NamedTuple):
    """The rows of one micro-batch and their weight in the loss: 1, or 0 for a filler."""

    rows: tuple[int, ...]
    weight: float


def split_rows(
    rows: Sequence[int], lengths: NDArray[np.int64], *, rank: int, ranks: int, max_rows: int, max_tokens: float
) -> list[RowGroup]:
    """Return the micro-batches of one rank, each of at most `max_rows` rows and `max_tokens` tokens (a longer row is alone in its own).

    Rows are assigned longest first, each to the rank with the fewest tokens that does not have its number of rows yet. Every rank
    computes the assignment of all ranks, so that it knows the largest number of micro-batches, and appends fillers (the shortest row
    with weight 0) up to that number.

    Args:
        rows: indices of the step's rows, over all ranks.
        lengths: (samples,) tokens of each sample.
    """
    groups = [_micro_batches(part, lengths, max_rows, max_tokens) for part in _balance(rows, lengths, ranks)]
    own = [RowGroup(group, 1.0) for group in groups[rank]]
    shortest = min(rows, key=lambda row: (lengths[row], row))
    return own + [RowGroup((shortest,), 0.0)] * (max(map(len, groups)) - len(own))


def collate(
    samples: Samples,
    group: RowGroup,
    boundaries: RowBoundaries = RowBoundaries.POSITION_IDS,
    media: Callable[[Sequence[Sample]], MicroMedia | None] | None = None,
) -> Micro:
    """Build the tensors of a micro-batch, on the CPU; `media` builds those of the sequences' media files."""
    samples_of = [samples.sequences(row) for row in group.rows]
    parts = [part for sequences in samples_of for part in sequences]
    numbers = torch.arange(len(parts))
    ids = torch.from_numpy(np.concatenate([part.ids for part in parts]).astype(np.int64))
    weights = torch.from_numpy(np.concatenate([part.weights for part in parts]))
    supervised = weights.nonzero().squeeze(1)
    return Micro(
        input_ids=ids[None],
        position_ids=torch.cat([torch.arange(len(part.ids)) for part in parts])[None],
        positions=supervised - 1,
        labels=ids[supervised],
        weights=weights[supervised] * group.weight,
        rows=group.rows,
        sequence=torch.repeat_interleave(numbers, torch.tensor([len(part.ids) for part in parts]))[supervised],
        sample=torch.repeat_interleave(torch.arange(len(samples_of)), torch.tensor(list(map(len, samples_of)))),
        sample_weights=torch.full((len(samples_of),), group.weight),
        columns={
            name: torch.from_numpy(np.concatenate([np.atleast_1d(np.float32(part.columns[name])) for part in parts]))
            for name in parts[0].columns
        },
        boundaries=boundaries,
        media=media(parts) if media else None,
    )


def max_micro_tokens(limit: int | None, device: torch.device) -> float:
    """Return the maximum tokens per micro-batch: the given limit, else the fastest size on a CPU and no limit on other devices."""
    return limit or (CPU_TOKENS if device.type == "cpu" else inf)


def _balance(rows: Sequence[int], lengths: NDArray[np.int64], ranks: int) -> list[list[int]]:
    if ranks == 1:
        return [list(rows)]
    rows_per_rank = ceil(len(rows) / ranks)
    parts: list[list[int]] = [[] for _ in range(ranks)]
    loads = [0] * ranks
    for index in sorted(range(len(rows)), key=lambda index: (-lengths[rows[index]], index)):
        rank = min((rank for rank in range(ranks) if len(parts[rank]) < rows_per_rank), key=lambda rank: (loads[rank], rank))
        parts[rank].append(index)
        loads[rank] += int(lengths[rows[index]])
    return [[rows[index] for index in sorted(part)] for part in parts]


def _micro_batches(rows: Sequence[int], lengths: NDArray[np.int64], max_rows: int, max_tokens: float) -> list[tuple[int, ...]]:
    micros: list[list[int]] = []
    tokens = 0
    for row in rows:
        tokens += int(lengths[row])
        if not micros or len(micros[-1]) == max_rows or tokens > max_tokens:
            micros.append([])
            tokens = int(lengths[row])
        micros[-1].append(row)
    return [tuple(micro) for micro in micros]
