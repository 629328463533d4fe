"""Attention by blocks is that of torch, and what it can't compute is left to torch."""

from __future__ import annotations

import pytest
import torch
from swift_train import blocked_attention
from swift_train.blocked_attention import BlockedAttention
from torch.nn.functional import scaled_dot_product_attention


def tensors(*shapes, dtype=torch.float32):
    made = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=made).to(dtype) for shape in shapes]


@pytest.mark.parametrize(("heads", "groups", "tokens"), [(4, 4, 128), (9, 3, 300), (2, 1, 193)])
def test_causal_attention(heads, groups, tokens, monkeypatch):
    query, key, value = tensors((1, heads, tokens, 16), *[(1, groups, tokens, 16)] * 2)
    options = {"is_causal": True, "enable_gqa": heads != groups, "attn_mask": None, "dropout_p": 0.0, "scale": 0.3}
    expected = scaled_dot_product_attention(query, key, value, **options)
    used = []
    plain = blocked_attention.causal_attention
    monkeypatch.setattr(blocked_attention, "causal_attention", lambda *given, **more: used.append(1) or plain(*given, **more))
    with torch.inference_mode(), BlockedAttention():
        found = scaled_dot_product_attention(query, key, value, **options)
    assert used
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-5)


LEFT = [
    {"is_causal": False},
    {"is_causal": False, "attn_mask": torch.ones(128, 128, dtype=torch.bool).tril()},
    {"is_causal": True, "short": True},
    {"is_causal": True, "dtype": torch.bfloat16},
    {"is_causal": True, "rows": 2},
]


@pytest.mark.parametrize("options", LEFT)
def test_other_attention_is_torchs(options, monkeypatch):
    monkeypatch.setattr(blocked_attention, "causal_attention", lambda *given, **more: pytest.fail("computed by blocks"))
    tokens, rows, dtype = 16 if options.pop("short", False) else 128, options.pop("rows", 1), options.pop("dtype", torch.float32)
    given = tensors(*[(rows, 2, tokens, 16)] * 3, dtype=dtype)
    with torch.inference_mode(), BlockedAttention():
        assert torch.equal(scaled_dot_product_attention(*given, **options), scaled_dot_product_attention(*given, **options))


def test_gradients_are_torchs():
    query, key, value = tensors(*[(1, 2, 128, 16)] * 3)
    with BlockedAttention():
        scaled_dot_product_attention(query.requires_grad_(), key, value, is_causal=True).sum().backward()
    assert query.grad is not None
