"""Which rows are learned in a step, which rank computes which, and how rows become tensors without padding.

The rows of a step are the same for any number of ranks: with the same rows a step (batch_size × accumulation × ranks), one
process and four learn the same. Order is a function of (seed, epoch), so that a resumed run needs nothing but its step number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from math import ceil, inf
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from swift_train.samples import Samples


CPU_TOKENS = 512  # measured: short rows alone keep the cores waiting for one another, longer pieces only cost memory


class RowBoundaries(Enum):
    """How a model is told where the rows of a pass begin."""

    POSITION_IDS = "position_ids"
    CU_SEQLENS = "position_ids, cu_seq_lens and seq_idx"  # what kernels for attention and recurrent layers take
    MROPE = "position_ids of four axes"  # of rotary embeddings with time, height and width (Qwen2-VL); on text all are the position


@dataclass(frozen=True, slots=True)
class Micro:
    """What goes through the model at once: whole rows one after the other, no padding.

    `positions` are where the outputs are scored, each the place before a supervised token; `labels` those tokens. Rows that only fill
    up a rank's share weigh nothing.
    """

    input_ids: Tensor  # (1, tokens) int64
    position_ids: Tensor  # (1, tokens) int64, from 0 in each row
    positions: Tensor  # (supervised,) int64
    labels: Tensor  # (supervised,) int64
    weights: Tensor  # (supervised,) float32
    rows: tuple[int, ...]  # indices of the samples
    lengths: tuple[int, ...] = ()  # of the rows, where this is a part of their tokens (swift_train.context_parallel)
    boundaries: RowBoundaries = RowBoundaries.POSITION_IDS

    @property
    def plain(self) -> bool:
        """Whether it is one row, whole: its positions go without saying."""
        return len(self.rows) == 1 and not self.lengths

    @property
    def row_arguments(self) -> dict[str, Any]:
        """What a model of transformers takes to keep the rows apart; nothing for one row."""
        if self.plain:
            return {}
        if self.boundaries is RowBoundaries.MROPE:
            return {"position_ids": self.position_ids.expand(4, *self.position_ids.shape)}
        if self.boundaries is RowBoundaries.POSITION_IDS or self.lengths:
            return {"position_ids": self.position_ids}
        starts = self.position_ids[0] == 0
        ends = torch.cat([starts.nonzero().squeeze(1), starts.new_tensor([len(starts)], dtype=torch.int64)]).int()
        longest = int(ends.diff().max())
        borders = {"cu_seq_lens_q": ends, "cu_seq_lens_k": ends, "max_length_q": longest, "max_length_k": longest}
        return {"position_ids": self.position_ids, **borders, "seq_idx": (starts.cumsum(0) - 1).int()[None]}

    def to(self, device: torch.device) -> Micro:
        """The same with its tensors on a device."""
        every = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=True) for name, value in every.items() if isinstance(value, torch.Tensor)
        }
        return replace(self, **moved)


class RowGroup(NamedTuple):
    """Rows that go through the model at once, and what they weigh: nothing, where they only fill up a rank's share."""

    rows: tuple[int, ...]
    weight: float


class Sampler:
    """The rows of each step. An epoch's last step may have fewer.

    Args:
        units: how many rows there are, or how many packs of rows.
        per_step: units a step, over all ranks.
        packs: the rows of each pack, where they are packed.
        sizes: tokens of each unit, where units of like size are to be taken together.
    """

    def __init__(
        self, units: int, per_step: int, *, seed: int, shuffle: bool,
        packs: Sequence[NDArray[np.int64]] | None = None, sizes: NDArray[np.int64] | None = None,
    ) -> None:  # fmt: skip
        self.units, self.per_step, self.seed, self.shuffle, self.packs, self.sizes = units, per_step, seed, shuffle, packs, sizes
        self.steps_per_epoch = ceil(units / per_step)
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, np.int64))

    def step(self, index: int) -> list[int]:
        """The rows of step `index`, counted from 0 over all epochs."""
        epoch, place = divmod(index, self.steps_per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, self._ordered(epoch))
        chosen = self._order[1][place * self.per_step : (place + 1) * self.per_step]
        rows: list[int] = (np.concatenate([self.packs[unit] for unit in chosen]) if self.packs is not None else chosen).tolist()
        return rows

    def _ordered(self, epoch: int) -> NDArray[np.int64]:
        random = np.random.default_rng((self.seed, epoch))
        order = random.permutation(self.units) if self.shuffle else np.arange(self.units)
        if self.sizes is None:
            return order
        # Sorted within stretches of 50 steps, as transformers' LengthGroupedSampler does, and the steps mixed again; the largest first,
        # so that memory that does not suffice shows at once.
        stretch = 50 * self.per_step
        parts = [order[start : start + stretch] for start in range(0, self.units, stretch)]
        order = np.concatenate([part[np.argsort(-self.sizes[part], kind="stable")] for part in parts])
        whole = self.units // self.per_step * self.per_step
        steps = order[:whole].reshape(-1, self.per_step)
        if self.shuffle and len(steps):
            first = int(np.argmax(self.sizes[steps].sum(1)))
            mixed = random.permutation(len(steps))
            mixed = np.concatenate([[first], mixed[mixed != first]])
            order = np.concatenate([steps[mixed].reshape(-1), order[whole:]])
        return order


def split_rows(
    rows: Sequence[int], lengths: NDArray[np.int64], *, rank: int, ranks: int, max_rows: int, max_tokens: float
) -> list[RowGroup]:
    """The part of the rows that a rank computes, in pieces of at most so many rows and tokens (a longer row goes alone).

    Rows go to the rank that has the fewest tokens so far, longest first, as long as it has not its number. Every rank works out
    all parts, so that it knows how many pieces the largest has, and fills up to that with the shortest row, without weight.
    """
    cuts = [_cut(part, lengths, max_rows, max_tokens) for part in _deal(rows, lengths, ranks)]
    own = [RowGroup(cut, 1.0) for cut in cuts[rank]]
    shortest = min(rows, key=lambda row: (lengths[row], row))
    return own + [RowGroup((shortest,), 0.0)] * (max(map(len, cuts)) - len(own))


def collate(samples: Samples, piece: RowGroup, boundaries: RowBoundaries = RowBoundaries.POSITION_IDS) -> Micro:
    """A piece's tensors, on the CPU."""
    parts = [samples[row] for row in piece.rows]
    ids = torch.from_numpy(np.concatenate([part.ids for part in parts]).astype(np.int64))
    weights = torch.from_numpy(np.concatenate([part.weights for part in parts]))
    supervised = weights.nonzero().squeeze(1)
    return Micro(
        input_ids=ids[None],
        position_ids=torch.cat([torch.arange(len(part.ids)) for part in parts])[None],
        positions=supervised - 1,
        labels=ids[supervised],
        weights=weights[supervised] * piece.weight,
        rows=piece.rows,
        boundaries=boundaries,
    )


def max_micro_tokens(limit: int | None, device: torch.device) -> float:
    """Tokens computed at once: what the user says; else about so many as a CPU is fastest with, and no bound elsewhere."""
    return limit or (CPU_TOKENS if device.type == "cpu" else inf)


def _deal(rows: Sequence[int], lengths: NDArray[np.int64], ranks: int) -> list[list[int]]:
    if ranks == 1:
        return [list(rows)]
    most = ceil(len(rows) / ranks)
    parts: list[list[int]] = [[] for _ in range(ranks)]
    loads = [0] * ranks
    for place in sorted(range(len(rows)), key=lambda place: (-lengths[rows[place]], place)):
        rank = min((rank for rank in range(ranks) if len(parts[rank]) < most), key=lambda rank: (loads[rank], rank))
        parts[rank].append(place)
        loads[rank] += int(lengths[rows[place]])
    return [[rows[place] for place in sorted(part)] for part in parts]


def _cut(rows: Sequence[int], lengths: NDArray[np.int64], max_rows: int, max_tokens: float) -> list[tuple[int, ...]]:
    micros: list[list[int]] = []
    tokens = 0
    for row in rows:
        tokens += int(lengths[row])
        if not micros or len(micros[-1]) == max_rows or tokens > max_tokens:
            micros.append([])
            tokens = int(lengths[row])
        micros[-1].append(row)
    return [tuple(micro) for micro in micros]
