"""Best-fit packing: every row once, nothing cut, packs nearly full."""

from __future__ import annotations

import numpy as np
from swift_train.packing import best_fit


def test_every_row_once_and_no_pack_too_full():
    lengths = np.random.default_rng(0).integers(1, 512, 5000)
    packs = best_fit(lengths, 512)
    assert sorted(np.concatenate(packs).tolist()) == list(range(5000))
    assert max(lengths[pack].sum() for pack in packs) <= 512
    assert lengths.sum() / (512 * len(packs)) > 0.98


def test_the_fullest_pack_that_has_room_is_taken():
    assert [pack.tolist() for pack in best_fit(np.array([4, 6, 5, 3, 1]), 10)] == [[0, 1], [2, 3, 4]]


def test_a_row_longer_than_a_pack_is_one_by_itself():
    assert [pack.tolist() for pack in best_fit(np.array([3, 30, 4]), 10)] == [[1], [0, 2]]
