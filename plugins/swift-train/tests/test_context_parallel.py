"""Tokens dealt out to processes: nothing is lost, and heads and tokens are exchanged there and back, gradients too."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.distributed as dist
from swift_train.batches import collate
from swift_train.causal_attention import causal_attention
from swift_train.context_parallel import attend_over_heads, gather_heads, row_lengths, scatter_heads, shard_tokens
from swift_train.ranks import join
from swift_train.row_groups import RowGroup
from swift_train.testing import on_ranks, samples_of


@pytest.fixture
def micro(tmp_path):
    """Rows of 7 and 4 tokens, of which some are scored."""
    return collate(samples_of(tmp_path, [(range(3, 10), [(2, 5, 1.0)]), (range(20, 24), [(1, 4, 0.5)])]), RowGroup((0, 1), 1.0))


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_every_token_is_in_one_part(micro, parts):
    pieces = [shard_tokens(micro, part, parts) for part in range(parts)]
    assert len({piece.input_ids.shape for piece in pieces}) == 1
    assert torch.cat([piece.input_ids for piece in pieces], 1)[:, :11].equal(micro.input_ids)
    assert torch.cat([piece.position_ids for piece in pieces], 1)[:, :11].equal(micro.position_ids)
    size = pieces[0].input_ids.shape[1]
    assert torch.cat([piece.positions + size * part for part, piece in enumerate(pieces)]).equal(micro.positions)
    assert torch.cat([piece.labels for piece in pieces]).equal(micro.labels)
    assert torch.cat([piece.weights for piece in pieces]).equal(micro.weights)
    assert sum(pieces[0].lengths) == parts * size
    assert pieces[0].lengths[:2] == (7, 4)
    assert not pieces[0].plain


def test_rows_are_known_by_their_positions():
    assert row_lengths(torch.tensor([[0, 1, 2, 0, 0, 1]])) == [3, 1, 2]


def exchange():
    """Each of two processes has 3 of 6 tokens of 4 heads; returns what it has after the exchange, and its gradient."""
    join(torch.device("cpu"))
    rank, group = dist.get_rank(), dist.group.WORLD
    whole = torch.arange(4 * 6 * 2, dtype=torch.float32).reshape(4, 6, 2)
    own = whole[:, 3 * rank : 3 * rank + 3].clone().requires_grad_()
    heads = scatter_heads(own, group)
    assert heads.equal(whole[2 * rank : 2 * rank + 2])
    back = gather_heads(heads * (rank + 1), group)
    back.backward(torch.ones_like(back))
    return own.grad[:, 0, 0].tolist()


def test_heads_are_exchanged_for_tokens_and_back():
    assert on_ranks(2, exchange) == [[1.0, 1.0, 2.0, 2.0]] * 2


def attended(heads):
    """What each of three processes finds for its tokens, held against what one finds for all."""
    join(torch.device("cpu"))
    rank, group = dist.get_rank(), dist.group.WORLD
    torch.manual_seed(0)
    whole = [torch.randn(count, 9, 8) for count in (6, heads, heads)]
    part = slice(3 * rank, 3 * rank + 3)

    def attend(query, key, value):
        return causal_attention(query[None], key[None], value[None], window=4)[0]

    torch.testing.assert_close(attend_over_heads(attend, *(states[:, part] for states in whole), group), attend(*whole)[:, part])
    return True


@pytest.mark.parametrize("heads", [1, 2, 3, 6])
def test_key_heads_are_repeated_until_they_can_be_shared(heads):
    assert on_ranks(3, partial(attended, heads)) == [True] * 3


def test_a_row_goes_on():
    """The last queries of a row, within a window or not, find what they find when all are asked."""
    query, key, value = torch.randn(3, 1, 2, 7, 4)
    for window in (None, 3):
        whole = causal_attention(query, key, value, window=window)
        torch.testing.assert_close(causal_attention(query[:, :, 5:], key, value, window=window), whole[:, :, 5:])
    seen = causal_attention(query, key, value, window=2)
    torch.testing.assert_close(seen[:, :, 6:], causal_attention(query[:, :, 6:], key[:, :, 5:], value[:, :, 5:]))
