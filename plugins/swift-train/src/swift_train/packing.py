"""Packing: combine whole rows into packs of at most `max_length` tokens, so that steps are of nearly equal size.

Best-fit decreasing (Ding et al. 2024, "Fewer Truncations Improve Language Modeling", arXiv:2404.10830): the longest row first, each into
the fullest pack that still has space for it. No row is split, and the rows of a pack stay separate sequences (`swift_train.batches`).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def best_fit(lengths: NDArray[np.int64], capacity: int) -> list[NDArray[np.int64]]:
    """Pack rows by best-fit decreasing.

    Args:
        lengths: tokens of each row, (rows,).
        capacity: maximum tokens per pack; a longer row becomes a pack by itself.

    Returns:
        The row indices of each pack, ascending.
    """
    packs: list[list[int]] = []
    by_space: dict[int, list[int]] = {}  # free tokens → packs with exactly that many
    spaces: list[int] = []  # the keys of `by_space`, ascending
    for row in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[row])
        place = bisect_left(spaces, length)
        if place == len(spaces):
            pack, space = len(packs), capacity
            packs.append([])
        else:
            space = spaces[place]
            pack = by_space[space].pop()
            if not by_space[space]:
                del by_space[space], spaces[place]
        packs[pack].append(row)
        left = space - length
        if left > 0:
            if left not in by_space:
                insort(spaces, left)
                by_space[left] = []
            by_space[left].append(pack)
    return [np.array(sorted(pack), np.int64) for pack in packs]
