"""The order of a step's passes: one forward, one backward in turn (1F1B), so that few micro-batches are kept at a time.

A process may have several stages, in turn with the others: stage 0 is on process 0, and so on round and round (interleaving). Method:
Narayanan et al. 2021, https://arxiv.org/abs/2104.04473
"""

from __future__ import annotations

from typing import NamedTuple


class Pass(NamedTuple):
    """What a process does next: the forward (or else the backward) pass of a micro-batch through one of its stages."""

    forward: bool
    chunk: int
    micro: int


def order(rank: int, ranks: int, chunks: int, micros: int) -> list[Pass]:
    """A process's passes of a step: as many forward ones ahead as there are stages behind it, then in turn.

    With several chunks the ranks divide the micro-batches, which go through chunk by chunk, as many at a time as there are ranks.
    """
    places = [(number // ranks % chunks, number // (ranks * chunks) * ranks + number % ranks) for number in range(micros * chunks)]
    if chunks == 1:
        places = [(0, micro) for micro in range(micros)]
    onward = [Pass(True, chunk, micro) for chunk, micro in places]
    back = [Pass(False, chunks - 1 - chunk, micro) for chunk, micro in places]
    ahead = ranks - rank - 1 if chunks == 1 else 2 * (ranks - rank - 1) + (chunks - 1) * ranks
    passes = onward[:ahead]
    for number, backward in enumerate(back):
        passes += [*onward[number + ahead : number + ahead + 1], backward]
    return passes
