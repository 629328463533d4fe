"""Micro-batches: rows collated into tensors without padding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from swift_train.shared_prefixes import Segment, SharedPrefixes, segments_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from swift_train.media.micro import MicroMedia
    from swift_train.row_groups import RowGroup
    from swift_train.samples import Sample, Samples


SECOND = "second_segment"  # a column by sequence: index of the first token of its second segment (BERT's token types)


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
    prefixes: SharedPrefixes | None = None  # if tokens with which several sequences begin are here once

    @property
    def plain(self) -> bool:
        """True for a single whole row, for which the model's default positions are right."""
        return len(self.sample) == 1 and not self.lengths

    def sums(self, values: Tensor) -> Tensor:
        """Sum a number per scored position over each sequence: (supervised,) → (sequences,)."""
        return values.new_zeros(len(self.sample)).index_add(0, self.sequence, values)

    def separate(self) -> Micro:
        """Return the micro-batch with every sequence whole, for a model that can't compute a shared prefix once."""
        if self.prefixes is None:
            return self
        every = torch.arange(self.input_ids.shape[1], device=self.input_ids.device)
        places = [torch.cat([every[each] for each in slices]) for slices in self.prefixes.sequences()]
        lengths = torch.tensor([len(place) for place in places], device=every.device)
        behind = lengths - torch.stack([place[-1] + 1 for place in places])  # a scored token is in the last segment of its sequence
        return replace(
            self,
            input_ids=self.input_ids[:, torch.cat(places)],
            position_ids=self.position_ids[:, torch.cat(places)],
            positions=self.positions + (lengths.cumsum(0) - lengths + behind)[self.sequence],
            prefixes=None,
        )

    def only(self, chosen: Tensor) -> Micro:
        """Return the micro-batch with only some of its sequences, each whole; columns must be by sequence.

        Args:
            chosen: (sequences,) bool, on the CPU.
        """
        if self.prefixes is not None:
            return self.separate().only(chosen)
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
        ends = self._ends
        max_length = int(ends.diff().max())
        varlen: dict[str, Any] = {"cu_seq_lens_q": ends, "cu_seq_lens_k": ends, "max_length_q": max_length, "max_length_k": max_length}
        if self.prefixes is not None:
            varlen["shared_prefixes"] = self.prefixes
        numbers = torch.repeat_interleave(torch.arange(len(ends) - 1, device=ends.device), ends.diff(), output_size=int(ends[-1]))
        return {"position_ids": self._all_positions, **varlen, "seq_idx": numbers.int()[None]}

    @property
    def _ends(self) -> Tensor:
        """Where each row, or segment of rows, begins, and the number of tokens: (rows + 1,) int32."""
        if self.prefixes is not None:
            return self.position_ids.new_tensor([0, *accumulate(self.prefixes.lengths)], dtype=torch.int32)
        starts = self.position_ids[0] == 0
        return torch.cat([starts.nonzero().squeeze(1), starts.new_tensor([len(starts)], dtype=torch.int64)]).int()

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


def collate(
    samples: Samples,
    group: RowGroup,
    boundaries: RowBoundaries = RowBoundaries.POSITION_IDS,
    media: Callable[[Sequence[Sample]], MicroMedia | None] | None = None,
    *,
    share: bool = False,
) -> Micro:
    """Build the tensors of a micro-batch, on the CPU.

    Args:
        samples, group: which rows.
        boundaries: how the model is told where rows begin.
        media: builds the media of sequences.
        share: whether tokens with which neighbouring sequences begin may be in it once (`swift_train.shared_prefixes`).
    """
    return micro_of([samples.sequences(row) for row in group.rows], group, boundaries, media, share=share)


def micro_of(
    samples_of: Sequence[Sequence[Sample]],
    group: RowGroup,
    boundaries: RowBoundaries = RowBoundaries.POSITION_IDS,
    media: Callable[[Sequence[Sample]], MicroMedia | None] | None = None,
    *,
    share: bool = False,
) -> Micro:
    """Build the tensors of a micro-batch of the sequences of each of its samples; otherwise as `collate`."""
    parts = [part for sequences in samples_of for part in sequences]
    segments = segments_of(parts) if share else [Segment(number, 0, len(part.ids)) for number, part in enumerate(parts)]
    pieces = [parts[each.sequence] for each in segments]
    ids = torch.from_numpy(_joined([part.ids for part in pieces], segments).astype(np.int64))
    weights = torch.from_numpy(_joined([part.weights for part in pieces], segments))
    numbers = torch.from_numpy(np.repeat([each.sequence for each in segments], [each.end - each.begin for each in segments]))
    supervised = weights.nonzero().squeeze(1)
    return Micro(
        input_ids=ids[None],
        position_ids=torch.cat([torch.arange(each.begin, each.end) for each in segments])[None],
        positions=supervised - 1,
        labels=ids[supervised],
        weights=weights[supervised] * group.weight,
        rows=group.rows,
        sequence=numbers[supervised],
        sample=torch.repeat_interleave(torch.arange(len(samples_of)), torch.tensor(list(map(len, samples_of)))),
        sample_weights=torch.full((len(samples_of),), group.weight),
        columns={
            name: torch.from_numpy(np.concatenate([np.atleast_1d(np.float32(part.columns[name])) for part in parts]))
            for name in parts[0].columns
        },
        boundaries=boundaries,
        media=media(parts) if media else None,
        prefixes=SharedPrefixes.of(segments) if len(segments) > len(parts) else None,
    )


def _joined(values: Sequence[NDArray[Any]], segments: Sequence[Segment]) -> NDArray[Any]:
    """Return the tokens of segments one after the other, of values for each token of their sequences."""
    return np.concatenate([each[segment.begin : segment.end] for each, segment in zip(values, segments, strict=True)])
