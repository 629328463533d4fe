"""Windows → forward passes: windows that the model keeps apart share one, and equal inputs are computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence as Windows
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from swift_train.batches import Micro, RowBoundaries
from swift_train.packing import best_fit

from swift_plugin_transformers.evaluation.encoding import Sequence

if TYPE_CHECKING:
    from swift_plugin_transformers.evaluation.scored_model import ScoredModel


@dataclass(frozen=True, slots=True)
class Pass:
    """A forward pass. The counted tokens of its windows follow one another in `micro.positions` and `micro.labels`."""

    micro: Micro
    windows: tuple[int, ...]  # the numbers of its windows
    counts: tuple[int, ...]  # counted tokens of each


def passes(windows: Windows[Sequence], *models: ScoredModel) -> Iterator[Pass]:
    """Yield the forward passes of windows on models; a window in which no token counts is in none."""
    limit = models[0].limit
    shortest = sorted(map(len, {tuple(window.ids[:-1]) for window in windows}))[:2]
    if len(shortest) < 2 or sum(shortest) > limit:  # no two inputs share a pass, so the model need not be probed
        yield from _passes(windows, 0, RowBoundaries.POSITION_IDS)
        return
    found = [model.isolation(windows) for model in models]
    together = all(each.together for each in found) and len({each.boundaries for each in found}) == 1
    yield from _passes(windows, limit if together else 0, found[0].boundaries)


def _passes(windows: Windows[Sequence], limit: int, boundaries: RowBoundaries) -> Iterator[Pass]:
    """Yield the forward passes of windows.

    Args:
        windows: windows of rows; those with equal inputs, such as a question before each of its choices, share them.
        limit: maximum tokens of a pass that has several inputs; 0: each input has its own pass.
        boundaries: how the beginnings of inputs are passed to the model.
    """
    users: dict[tuple[int, ...], list[int]] = {}  # input → its windows
    for number, window in enumerate(windows):
        if any(window.counted):
            users.setdefault(tuple(window.ids[:-1]), []).append(number)
    inputs = list(users)
    for chosen in best_fit(np.array([len(each) for each in inputs], np.int64), limit) if limit else ([at] for at in range(len(inputs))):
        yield _collate([inputs[at] for at in chosen], [users[inputs[at]] for at in chosen], windows, boundaries)


def _collate(inputs: Windows[tuple[int, ...]], users: Windows[Windows[int]], windows: Windows[Sequence], boundaries: RowBoundaries) -> Pass:
    positions: list[int] = []
    labels: list[int] = []
    sequence: list[int] = []
    counts: dict[int, int] = {}
    start = 0
    for number, (ids, numbers) in enumerate(zip(inputs, users, strict=True)):
        for at in numbers:
            window = windows[at]
            first = len(ids) - len(window.counted)
            places = [first + place for place, counted in enumerate(window.counted) if counted]
            positions += [start + place for place in places]
            labels += [window.ids[place + 1] for place in places]
            sequence += [number] * len(places)
            counts[at] = len(places)
        start += len(ids)
    micro = Micro(
        input_ids=torch.tensor([[token for ids in inputs for token in ids]]),
        position_ids=torch.cat([torch.arange(len(ids)) for ids in inputs])[None],
        positions=torch.tensor(positions),
        labels=torch.tensor(labels),
        weights=torch.ones(len(labels)),
        rows=tuple(range(len(inputs))),
        sequence=torch.tensor(sequence),
        sample=torch.arange(len(inputs)),
        sample_weights=torch.ones(len(inputs)),
        boundaries=boundaries,
    )
    return Pass(micro, tuple(counts), tuple(counts.values()))
