"""Samples of several sequences: a pair stays together, has columns beside its tokens, and a reference computed before the first step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from swift_train.batches import collate
from swift_train.preprocessing import Preprocessing
from swift_train.row_groups import RowGroup, split_rows
from swift_train.samples import Samples
from swift_train.store import Store, StoreWriter
from swift_train.tokenise import Encoded, Span
from swift_train.truncation import samples_of_row

LENGTHS = [(3, 5), (7, 2), (4, 4), (9, 6), (2, 8)]  # tokens of the two sequences of each row


def encoded(length: int, label: float) -> Encoded:
    return Encoded(np.arange(1, length + 1, dtype=np.int32), (Span(1, length, 1.0),), (label,))


@pytest.fixture
def pairs(tmp_path: Path) -> Samples:
    folder = tmp_path / "store"
    folder.mkdir()
    with StoreWriter(folder, grouped=True, columns=["label"]) as writer:
        for number, (one, other) in enumerate(LENGTHS, 1):
            writer.add(encoded(one, number), "rows", number)
            writer.add(encoded(other, -number), "rows", number)
        writer.finish()
    return Samples([Store(folder)])


def test_a_sample_is_a_row(pairs):
    assert len(pairs) == len(LENGTHS)
    assert pairs.lengths.tolist() == [sum(pair) for pair in LENGTHS]
    assert pairs.supervised.tolist() == [sum(pair) - 2 for pair in LENGTHS]
    for index, pair in enumerate(LENGTHS):
        sequences = pairs.sequences(index)
        assert tuple(len(sequence.ids) for sequence in sequences) == pair
        assert [sequence.columns["label"] for sequence in sequences] == [index + 1, -(index + 1)]
        assert pairs.origin(index) == f"rows, row {index + 1}"


def test_selections_keep_pairs_whole(pairs):
    for part in (pairs.select(np.array([3, 1])), *pairs.split(0.4, 0), pairs.repeat([2.5], 0)):
        for index in range(len(part)):
            one, other = part.sequences(index)
            assert one.columns["label"] == -other.columns["label"] > 0
            assert part.lengths[index] == len(one.ids) + len(other.ids)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_no_rank_or_micro_batch_has_half_a_pair(pairs, ranks):
    seen = []
    for rank in range(ranks):
        for group in split_rows(range(len(pairs)), pairs.lengths, rank=rank, ranks=ranks, max_rows=2, max_tokens=20):
            micro = collate(pairs, group)
            assert micro.sample.bincount().tolist() == [2] * len(group.rows)
            assert micro.sample_weights.tolist() == [group.weight] * len(group.rows)
            seen += group.rows if group.weight else ()
    assert sorted(seen) == list(range(len(pairs)))


def test_tensors_by_sequence(pairs):
    micro = collate(pairs, RowGroup((1, 4), 1.0))
    assert micro.columns["label"].tolist() == [2, -2, 5, -5]
    assert micro.sample.tolist() == [0, 0, 1, 1]
    assert micro.sums(torch.ones(len(micro.labels))).tolist() == [6, 1, 1, 7]  # supervised tokens of each sequence
    assert not micro.plain
    filler = micro.as_filler()
    assert not filler.weights.any()
    assert not filler.sample_weights.any()


def test_computed_columns_follow_their_sequences(pairs):
    pairs.columns["score"] = [np.array([10.0 * index, 10.0 * index + 1], np.float32) for index in range(len(pairs))]
    assert collate(pairs, RowGroup((2, 0), 1.0)).columns["score"].tolist() == [20, 21, 0, 1]


class Grouped:
    grouped, columns = True, ("label",)
    tokeniser, settings = None, {}

    def texts(self, raw):
        raise NotImplementedError

    check = texts


def test_a_pair_is_dropped_as_a_whole():
    long = Preprocessing(encoder=Grouped(), truncation="drop", max_length=4, options={})  # type: ignore[arg-type]
    assert samples_of_row([encoded(3, 1.0), encoded(5, 1.0)], long) == []
    assert len(samples_of_row([encoded(3, 1.0), encoded(4, 1.0)], long)) == 2
