"""The blockwise cross entropy is torch's."""

from __future__ import annotations

import pytest
import torch
from swift_train import losses


@pytest.mark.parametrize("block", [1 << 25, 100])  # at once, and row by row
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 4e-3)])
def test_as_torchs(block, dtype, tolerance, monkeypatch):
    monkeypatch.setattr(losses, "_BLOCK", block)
    torch.manual_seed(0)
    logits = torch.randn(7, 50).mul(5).to(dtype)
    labels, weights = torch.randint(50, (7,)), torch.tensor([1.0, 0.0, 1.0, 2.0, 1.0, 1.0, -0.5])
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss = losses.summed_cross_entropy(ours, labels, weights)
    expected = (torch.nn.functional.cross_entropy(theirs.float(), labels, reduction="none") * weights).sum()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    (loss * 3).backward()
    (expected * 3).backward()
    assert ours.grad.dtype == dtype
    assert torch.allclose(ours.grad, theirs.grad, atol=tolerance, rtol=tolerance)


def test_logits_are_left_alone():
    """A model may have kept its logits (Gemma's soft cap does), so they are not overwritten."""
    logits = torch.randn(3, 9, requires_grad=True)
    before = logits.detach().clone()
    losses.summed_cross_entropy(torch.tanh(logits), torch.tensor([1, 2, 3]), torch.ones(3)).backward()
    assert torch.equal(logits, before)
