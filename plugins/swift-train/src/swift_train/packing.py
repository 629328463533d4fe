"""Packing: whole rows put together until a row of `max_length` tokens is nearly full, so that steps are of equal size.

Best-fit decreasing (Ding et al. 2024, "Fewer Truncations Improve Language Modeling", arXiv:2404.10830): the longest row first, each into
the fullest pack that still has room. Nothing is cut. Rows of a pack go through the model as separate sequences (`swift_train.batches`).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def best_fit(lengths: NDArray[np.int64], most: int) -> list[NDArray[np.int64]]:
    """Packs of rows, each as indices in rising order; a row longer than `most` tokens is a pack by itself."""
    packs: list[list[int]] = []
    with_room: dict[int, list[int]] = {}  # free tokens → packs that have just so many
    rooms: list[int] = []  # the keys of `with_room`, in order
    for row in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[row])
        place = bisect_left(rooms, length)
        if place == len(rooms):
            pack, room = len(packs), most
            packs.append([])
        else:
            room = rooms[place]
            pack = with_room[room].pop()
            if not with_room[room]:
                del with_room[room], rooms[place]
        packs[pack].append(row)
        left = room - length
        if left > 0:
            if left not in with_room:
                insort(rooms, left)
                with_room[left] = []
            with_room[left].append(pack)
    return [np.array(sorted(pack), np.int64) for pack in packs]
