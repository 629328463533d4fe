"""Rows of a step, shares of ranks, and tensors without padding."""

from __future__ import annotations

from itertools import chain
from math import inf

import numpy as np
import pytest
import torch
from swift_train.batches import collate
from swift_train.options import SftOptions
from swift_train.packing import best_fit
from swift_train.row_groups import CPU_TOKENS, RowGroup, max_micro_tokens, split_rows
from swift_train.sampler import EpochSampler
from swift_train.tasks import SftTask
from swift_train.testing import samples_of
from transformers import AutoModelForCausalLM

LENGTHS = np.array([9, 120, 40, 7, 300, 33, 33, 8, 64, 5, 80])


def test_an_epoch_has_every_row_once_and_the_next_another_order():
    sampler = EpochSampler(11, 4, seed=7, shuffle=True)
    assert sampler.steps_per_epoch == 3
    epochs = [[sampler.step(3 * epoch + step) for step in range(3)] for epoch in range(2)]
    for epoch in epochs:
        assert sorted(chain.from_iterable(epoch)) == list(range(11))
        assert [len(rows) for rows in epoch] == [4, 4, 3]
    assert epochs[0] != epochs[1]
    assert EpochSampler(11, 4, seed=7, shuffle=True).step(4) == epochs[1][1]  # from nothing but seed and step
    assert EpochSampler(11, 4, seed=7, shuffle=False).step(2) == [8, 9, 10]


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 16])
@pytest.mark.parametrize(("max_rows", "limit"), [(4, 0), (2, inf), (4, 100)])
def test_shares(ranks, max_rows, limit):
    rows = list(range(11))
    parts = [split_rows(rows, LENGTHS, rank=rank, ranks=ranks, max_rows=max_rows, max_tokens=limit) for rank in range(ranks)]
    assert len({len(part) for part in parts}) == 1, "every rank computes as many pieces"
    weighed = [piece for part in parts for piece in part if piece.weight]
    assert sorted(row for piece in weighed for row in piece.rows) == rows
    for piece in weighed:
        assert len(piece.rows) <= max_rows
        assert len(piece.rows) == 1 or LENGTHS[list(piece.rows)].sum() <= limit
    assert {piece for part in parts for piece in part if not piece.weight} <= {RowGroup((9,), 0.0)}


def test_ranks_get_about_as_many_tokens():
    loads = [
        sum(LENGTHS[row] for piece in split_rows(range(10), LENGTHS, rank=rank, ranks=2, max_rows=8, max_tokens=0) for row in piece.rows)
        for rank in (0, 1)
    ]
    assert abs(loads[0] - loads[1]) < 100


def test_what_is_computed_at_once():
    assert max_micro_tokens(None, torch.device("cpu")) == CPU_TOKENS
    assert max_micro_tokens(None, torch.device("cuda")) == inf
    assert max_micro_tokens(64, torch.device("cpu")) == 64


def test_an_epoch_of_packs_has_every_row_once():
    packs = best_fit(LENGTHS, 320)
    sampler = EpochSampler(len(packs), 2, seed=7, shuffle=True, packs=packs)
    rows = [sampler.step(step) for step in range(sampler.steps_per_epoch)]
    assert sorted(chain.from_iterable(rows)) == list(range(11))
    assert all(LENGTHS[step].sum() <= 640 for step in rows)


def test_rows_of_like_length_come_together_the_longest_first():
    lengths = np.random.default_rng(0).integers(1, 1000, 400)
    sampler = EpochSampler(400, 4, seed=7, shuffle=True, sizes=lengths)
    rows = [sampler.step(step) for step in range(100)]
    assert sorted(chain.from_iterable(rows)) == list(range(400))
    assert lengths[rows[0]].max() == lengths.max()
    spread = np.mean([np.ptp(lengths[step]) for step in rows])
    unsorted = EpochSampler(400, 4, seed=7, shuffle=True)
    assert spread < 0.1 * np.mean([np.ptp(lengths[unsorted.step(step)]) for step in range(100)])
    assert [sampler.step(100 + step) for step in range(100)] != rows, "another order in the next epoch"


def test_positions_stand_before_their_labels(tmp_path):
    rows = samples_of(tmp_path, [([5, 6, 7], [(1, 3, 1.0)]), ([8, 9], [(0, 2, 1.0)])])
    micro = collate(rows, RowGroup((0, 1), 1.0))
    assert micro.input_ids.tolist() == [[5, 6, 7, 8, 9]]
    assert micro.position_ids.tolist() == [[0, 1, 2, 0, 1]]
    assert micro.positions.tolist() == [0, 1, 3]
    assert micro.labels.tolist() == [6, 7, 9]
    assert micro.weights.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_rows_computed_together_are_as_alone(tiny_model, tmp_path, attention):
    """One variable-length batch gives each row the logits it has on its own, and a full forward pass's at the same places."""
    model = AutoModelForCausalLM.from_pretrained(tiny_model, attn_implementation=attention).eval()
    torch.manual_seed(0)
    rows = samples_of(tmp_path, [(torch.randint(5, 300, (n,)).tolist(), [(n // 3 + 1, n, 1.0)]) for n in (9, 30, 4)])
    task = SftTask(SftOptions())
    with torch.no_grad():
        together = task.forward(model, collate(rows, RowGroup((0, 1, 2), 1.0)))
        alone = torch.cat([task.forward(model, collate(rows, RowGroup((index,), 1.0))) for index in range(3)])
        full = model(input_ids=torch.from_numpy(rows[1].ids.astype(np.int64))[None]).logits[0, :-1][
            torch.from_numpy(rows[1].supervised[1:].copy())
        ]
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.equal(alone[len(collate(rows, RowGroup((0,), 1.0)).labels) :][: len(full)], full)
