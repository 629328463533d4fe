"""Attention by blocks is that of torch, and what it can't compute is left to torch."""

from __future__ import annotations

import pytest
import torch
from swift_train import blocked_attention
from swift_train.blocked_attention import BlockedAttention
from swift_train.shared_prefixes import SharedPrefixes
from torch.nn.functional import scaled_dot_product_attention


def tensors(*shapes, dtype=torch.float32):
    made = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=made).to(dtype) for shape in shapes]


@pytest.mark.parametrize(("heads", "groups", "tokens"), [(4, 4, 160), (9, 3, 300), (2, 1, 193)])
def test_causal_attention(heads, groups, tokens, monkeypatch):
    query, key, value = tensors((1, heads, tokens, 16), *[(1, groups, tokens, 16)] * 2)
    options = {"is_causal": True, "enable_gqa": heads != groups, "attn_mask": None, "dropout_p": 0.0, "scale": 0.3}
    expected = scaled_dot_product_attention(query, key, value, **options)
    used = []
    plain = blocked_attention.blocked_attention
    monkeypatch.setattr(blocked_attention, "blocked_attention", lambda *given, **more: used.append(1) or plain(*given, **more))
    with torch.inference_mode(), BlockedAttention():
        found = scaled_dot_product_attention(query, key, value, **options)
    assert used
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-5)


LEFT = [
    {"is_causal": False},
    {"is_causal": False, "attn_mask": torch.ones(160, 160, dtype=torch.bool).tril()},
    {"is_causal": True, "short": True},
    {"is_causal": True, "dtype": torch.bfloat16},
    {"is_causal": True, "rows": 2},
]


@pytest.mark.parametrize("options", LEFT)
def test_other_attention_is_torchs(options, monkeypatch):
    monkeypatch.setattr(blocked_attention, "blocked_attention", lambda *given, **more: pytest.fail("computed by blocks"))
    tokens, rows, dtype = 16 if options.pop("short", False) else 160, options.pop("rows", 1), options.pop("dtype", torch.float32)
    given = tensors(*[(rows, 2, tokens, 16)] * 3, dtype=dtype)
    with torch.inference_mode(), BlockedAttention():
        assert torch.equal(scaled_dot_product_attention(*given, **options), scaled_dot_product_attention(*given, **options))


def test_with_gradients_the_context_leaves_it_to_torch():
    query, key, value = tensors(*[(1, 2, 160, 16)] * 3)
    with BlockedAttention():
        scaled_dot_product_attention(query.requires_grad_(), key, value, is_causal=True).sum().backward()
    assert query.grad is not None


@pytest.mark.parametrize("window", [None, 37])
@pytest.mark.parametrize(
    ("lengths", "before"),
    [
        ((300,), ((),)),
        ((40, 30, 20, 170, 7), ((),) * 5),
        ((100, 60, 50, 9), ((), (0,), (0,), ())),
        ((20, 150, 30, 70, 31, 5), ((), (0,), (0, 1), (0, 1), (0,), ())),
    ],
)
def test_attention_and_its_gradients_are_torchs(lengths, before, window):
    """Of rows, and of rows that share tokens, against one attention with a mask of all tokens by all tokens."""
    rows = SharedPrefixes(lengths, before)
    query, key, value = (each.requires_grad_() for each in tensors((1, 6, sum(lengths), 16), *[(1, 2, sum(lengths), 16)] * 2))
    seen = torch.zeros(sum(lengths), sum(lengths), dtype=torch.bool)
    for place, slices in rows.key_slices():
        keys = torch.cat([torch.arange(each.start, each.stop) for each in slices])
        count = place.stop - place.start
        visible = torch.ones(count, len(keys), dtype=torch.bool).tril(len(keys) - count)
        seen[place, keys] = visible.triu(len(keys) - count - window + 1) if window else visible
    expected = scaled_dot_product_attention(query, key, value, attn_mask=seen, enable_gqa=True, scale=0.2).transpose(1, 2)
    found = blocked_attention.blocked_attention(query, key, value, rows, scale=0.2, window=window)
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-5)
    slope = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    for ours, theirs in zip(*(torch.autograd.grad(output, (query, key, value), slope) for output in (found, expected)), strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)
