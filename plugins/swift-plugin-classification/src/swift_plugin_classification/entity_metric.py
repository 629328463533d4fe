"""The F1 score of named entities, as conlleval computes it, from the classes of the words of concatenated rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from swift_data.entities import ENDS, OUTSIDE, STARTS, parted

if TYPE_CHECKING:
    from torch import Tensor


class EntityF1:
    """Counts entities that are found with their type and both of their borders.

    Args:
        names: of the classes; without O among them there are no entities.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.applies = OUTSIDE in names
        parts = [parted(name) for name in names]
        kinds = {kind: number for number, kind in enumerate(dict.fromkeys(kind for _, kind in parts if kind), 1)}
        self._kinds = torch.tensor([kinds.get(kind, 0) for _, kind in parts])
        self._starts = torch.tensor([prefix in STARTS for prefix, _ in parts])
        self._ends = torch.tensor([prefix in ENDS for prefix, _ in parts])

    def __call__(self, found: Tensor, true: Tensor, sequence: Tensor) -> tuple[Tensor, Tensor]:
        """Return twice the number of right entities, and the number of found and of true ones: the F1 score is their quotient.

        Args:
            found, true: classes of the words, (words,) int64.
            sequence: number of the row that each word is in, (words,).
        """
        (first, last, kind), (true_first, true_last, true_kind) = self._borders(found, sequence), self._borders(true, sequence)
        right = first & true_first & (kind == true_kind) & (last == true_last)
        return 2.0 * right.sum(), first.sum().float() + true_first.sum()

    def _borders(self, classes: Tensor, sequence: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return whether an entity begins at each word, the last word of the entity that begins there, and its type."""
        kinds, starts, ends = (table.to(classes.device)[classes] for table in (self._kinds, self._starts, self._ends))
        joined = torch.zeros_like(kinds, dtype=torch.bool)
        joined[1:] = (kinds[1:] == kinds[:-1]) & (sequence[1:] == sequence[:-1]) & ~starts[1:] & ~ends[:-1] & (kinds[1:] > 0)
        places = torch.arange(len(kinds), device=kinds.device)
        goes_on = torch.cat([joined[1:], joined.new_zeros(1)])[: len(kinds)]
        last = torch.where(goes_on, len(kinds), places).flip(0).cummin(0).values.flip(0)
        return (kinds > 0) & ~joined, last, kinds
