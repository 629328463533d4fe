"""The schedule, simulated: every stage gets each input once, without deadlock, and keeps few micro-batches."""

from __future__ import annotations

import pytest
from swift_plugin_megatron.schedule import Pass, passes_of


def simulate(ranks, chunks, micros):
    """Return the maximum number of micro-batches that each process keeps; receives block, sends do not."""
    left = [passes_of(rank, ranks, chunks, micros) for rank in range(ranks)]
    done, most, last = set(), [0] * ranks, ranks * chunks - 1
    while any(left):
        moved = False
        for rank in range(ranks):
            while left[rank]:
                forward, chunk, micro = left[rank][0]
                stage = chunk * ranks + rank
                needs = {(True, stage - 1, micro)} if forward else {(True, stage, micro), (False, stage + 1, micro)}
                if not {need for need in needs if 0 <= need[1] <= last} <= done:
                    break
                assert (forward, stage, micro) not in done
                done.add((forward, stage, micro))
                left[rank].pop(0)
                kept = sum(1 if forward else -1 for forward, stage, _ in done if stage % ranks == rank)
                most[rank] = max(most[rank], kept)
                moved = True
        assert moved, f"they wait for one another: {[passes[0] for passes in left if passes]}"
    assert len(done) == 2 * ranks * chunks * micros
    return most


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
@pytest.mark.parametrize("micros", [1, 2, 5, 12])
def test_one_stage_per_process(ranks, micros):
    assert simulate(ranks, 1, micros) == [min(ranks - rank, micros) for rank in range(ranks)]


@pytest.mark.parametrize(("ranks", "chunks", "micros"), [(2, 2, 2), (2, 2, 8), (2, 4, 4), (3, 2, 9), (4, 2, 8), (4, 3, 4)])
def test_several_stages_per_process(ranks, chunks, micros):
    simulate(ranks, chunks, micros)


def test_order():
    assert passes_of(1, 2, 1, 2) == [Pass(True, 0, 0), Pass(False, 0, 0), Pass(True, 0, 1), Pass(False, 0, 1)]
    assert [each[1:] for each in passes_of(0, 2, 2, 4) if each.forward][:6] == [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3)]
