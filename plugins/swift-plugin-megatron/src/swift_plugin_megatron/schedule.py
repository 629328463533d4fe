"""The pipeline schedule of a step: one forward, one backward in turn (1F1B), so that few micro-batches are kept at a time.

A process may have several stages (interleaving): stage 0 is on process 0, stage 1 on process 1, and so on, round-robin. Method: Narayanan
et al. 2021, https://arxiv.org/abs/2104.04473
"""

from __future__ import annotations

from typing import NamedTuple


class Pass(NamedTuple):
    """The forward or backward pass of a micro-batch through one of a process's stages."""

    forward: bool
    chunk: int
    micro: int


def passes_of(rank: int, ranks: int, chunks: int, micros: int) -> list[Pass]:
    """Return a process's passes of a step: a warm-up of forward passes, then forward and backward passes in turn.

    Args:
        rank: of the process in its pipeline, of `ranks` processes.
        chunks: stages per process. With several, `ranks` must divide `micros`, and `ranks` micro-batches at a time go through chunk by
            chunk.
        micros: micro-batches of the step.
    """
    order = [(number // ranks % chunks, number // (ranks * chunks) * ranks + number % ranks) for number in range(micros * chunks)]
    if chunks == 1:
        order = [(0, micro) for micro in range(micros)]
    forward = [Pass(True, chunk, micro) for chunk, micro in order]
    backward = [Pass(False, chunks - 1 - chunk, micro) for chunk, micro in order]
    warm_up = ranks - rank - 1 if chunks == 1 else 2 * (ranks - rank - 1) + (chunks - 1) * ranks
    passes = forward[:warm_up]
    for number, following in enumerate(backward):
        passes += [*forward[number + warm_up : number + warm_up + 1], following]
    return passes
