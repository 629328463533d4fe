"""Tokens with which several rows begin are computed once, and losses and gradients stay those of separate rows."""

from __future__ import annotations

from functools import partial
from math import inf

import numpy as np
import pytest
import torch
from swift_testing.architectures import small_model
from swift_train import row_attention
from swift_train.batches import RowBoundaries, micro_of
from swift_train.options import PretrainOptions, SftOptions
from swift_train.row_groups import RowGroup, Sharing, split_rows
from swift_train.row_isolation import probe_isolation, with_row_attention
from swift_train.samples import Sample
from swift_train.shared_prefixes import segments_of
from swift_train.tasks import PretrainTask, SftTask
from torch.nn.functional import scaled_dot_product_attention

from swift_core.plugins.registered import registry

TOKENS = range(3, 250)


def row(ids, own):
    """A row whose last `own` tokens are supervised."""
    weights = np.repeat(np.array([0, 1], np.float32), [len(ids) - own, own])
    return Sample(np.array(ids, np.int32), weights, "")


def alike(seed=0, lengths=(30, 25), own=(9, 4, 13, 7)):
    """Rows that begin with the same tokens, the first two with more of them, and one that does not."""
    random = np.random.default_rng(seed)
    common, more = (random.choice(TOKENS, length).tolist() for length in lengths)
    begins = [common + more, common + more, common, []]
    return [row([*begin, 7, *random.choice(TOKENS, count).tolist()], count) for begin, count in zip(begins, own, strict=True)]


def micro(rows, *, share):
    return micro_of([[each] for each in rows], RowGroup(tuple(range(len(rows))), 1.0), RowBoundaries.CU_SEQLENS, share=share)


def test_a_common_beginning_is_there_once():
    segments = segments_of(alike())
    assert [(each.sequence, each.begin, each.end, each.before) for each in segments] == [
        (0, 0, 30, ()), (0, 30, 55, (0,)), (0, 55, 65, (0, 1)), (1, 55, 60, (0, 1)), (2, 30, 44, (0,)), (3, 0, 8, ()),
    ]  # fmt: skip


def test_tokens_with_a_scored_output_are_not_shared():
    """Two equal rows: all before the token whose output is scored first."""
    rows = [row(range(100), 40), row(range(100), 40)]
    assert [(each.begin, each.end) for each in segments_of(rows)] == [(0, 59), (59, 100), (59, 100)]
    early = [row(range(100), 90), row(range(100), 40)]
    assert len(segments_of(early)) == 2  # nine tokens are not worth a segment


def test_every_token_keeps_its_position_label_and_row():
    apart, shared = (micro(alike(), share=share) for share in (False, True))
    assert shared.input_ids.shape[1] == 30 + 25 + 10 + 5 + 14 + 8
    for one, other in ((apart, shared), (apart, shared.separate())):
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.sequence, other.sequence)
        assert torch.equal(one.position_ids[0, one.positions], other.position_ids[0, other.positions])
        assert torch.equal(one.input_ids[0, one.positions], other.input_ids[0, other.positions])
    again = shared.separate()
    assert again.prefixes is None
    assert torch.equal(again.input_ids, apart.input_ids)
    assert torch.equal(again.positions, apart.positions)
    chosen = torch.tensor([True, False, True, False])
    assert torch.equal(shared.only(chosen).input_ids, apart.only(chosen).input_ids)


def strategy_of(model):
    strategy = registry().choose("parallel", "ddp", {"device": "cpu"}).build()
    strategy.build(lambda device: model, lambda module: torch.optim.SGD(module.parameters(), lr=0.1))
    return strategy


@pytest.mark.parametrize(
    ("kind", "values"),
    [("llama", {}), ("mistral", {"sliding_window": 20}), ("gpt2", {}), ("gemma3_text", {}), ("mixtral", {}), ("deepseek_v3", {})],
)
def test_losses_and_gradients_are_those_of_separate_rows(kind, values):
    model = small_model(kind, **values)
    strategy, task = strategy_of(model), PretrainTask(PretrainOptions())
    isolation = with_row_attention(strategy, task, TOKENS, 64, probe_isolation(strategy, task, TOKENS, 64))
    assert isolation.shares_prefixes, isolation.separate_prefixes
    found = []
    for share in (False, True):
        strategy.optimizer.zero_grad(set_to_none=True)
        loss = strategy.accumulate([micro(alike(), share=share)], task, 1 / 33)
        found.append((loss, [parameter.grad.clone() for parameter in strategy.trainable if parameter.grad is not None]))
    (loss, gradients), (other, theirs) = found
    assert other == pytest.approx(loss, abs=1e-6)
    norm = sum(float(each.square().sum()) for each in gradients) ** 0.5
    assert sum(float((a - b).square().sum()) for a, b in zip(gradients, theirs, strict=True)) ** 0.5 <= 1e-5 * norm


def test_the_probe_sees_an_attention_that_forgets_the_prefix(monkeypatch):
    """Each segment attends to itself alone: another loss, so rows stay whole."""
    model = small_model("llama")
    strategy, task = strategy_of(model), PretrainTask(PretrainOptions())
    alone = probe_isolation(strategy, task, TOKENS, 64)

    def forgetful(query, keys, values, prefixes, **options):
        return row_attention.attend_by_row(query, keys, values, prefixes.lengths, **options)

    monkeypatch.setattr(row_attention, "attend_by_segment", forgetful)
    isolation = with_row_attention(strategy, task, TOKENS, 64, alone)
    assert isolation.attention == row_attention.IMPLEMENTATION
    assert not isolation.shares_prefixes
    assert isolation.figures["shared_prefix"] > 1e-3
    assert "change" in isolation.to_json()["separate_prefixes"]


@pytest.mark.parametrize("options", [{"neftune_noise_alpha": 5.0}, {"router_loss": 0.01}])
def test_terms_of_every_token_keep_rows_whole(options):
    assert SftTask(SftOptions(**options)).whole_rows
    assert not SftTask(SftOptions()).whole_rows


def test_answers_to_a_prompt_stay_in_one_pass_of_one_rank():
    """Two groups of four rows, 100 tokens each of which 80 are the prompt's."""
    lengths = np.full(8, 100)

    def same(one, other):
        return one // 4 == other // 4

    sharing = Sharing(lambda one, other: 80 * same(one, other), same)
    split = partial(split_rows, range(8), lengths, max_rows=8, max_tokens=150)
    assert [group.rows for group in split(rank=0, ranks=1, sharing=sharing)] == [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert [[group.rows for group in split(rank=rank, ranks=2, sharing=sharing)] for rank in (0, 1)] == [[(0, 1, 2, 3)], [(4, 5, 6, 7)]]
    limited = sharing._replace(together=lambda one, other: False)
    assert [group.rows for group in split(rank=0, ranks=1, sharing=limited)] == [(0, 1, 2), (3,), (4, 5, 6), (7,)]
    assert [group.rows for group in split(rank=0, ranks=1)] == [(each,) for each in range(8)]
    uneven = [split(rank=rank, ranks=3, sharing=sharing) for rank in range(3)]  # at most three rows each: groups are parted
    assert sorted(row for groups in uneven for rows, weight in groups for row in rows if weight) == list(range(8))


def test_the_tokens_of_the_kernel_are_those_that_a_segment_attends_to():
    """What a variable-length kernel computes by its definition: the last queries of each part attend to all of its keys before them."""
    prefixes = micro(alike(), share=True).prefixes
    index, bounds, longest = row_attention._attended(prefixes, torch.device("cpu"))
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 1, 4, sum(prefixes.lengths), 8).unbind(0)
    expected = row_attention.attend_by_segment(query, key, value, prefixes)
    parts = []
    for number, place in enumerate(place for place, _ in prefixes.key_slices()):
        own = index[bounds[number] : bounds[number + 1]]
        count = place.stop - place.start
        mask = torch.ones(count, len(own), dtype=torch.bool).tril(len(own) - count)
        parts.append(scaled_dot_product_attention(query[:, :, place], key[:, :, own], value[:, :, own], attn_mask=mask))
    torch.testing.assert_close(torch.cat(parts, 2), expected)
    assert longest == max(bounds.diff()) < inf
