"""ASFT: the loss of dft, and the divergence from the model before training."""

from __future__ import annotations

import pytest
import torch
from swift_train.anchored_loss import anchor_divergence, problems
from swift_train.loss_options import LossOptions
from swift_train.testing import ragged_chats, run_training, training_run, write_rows
from swift_train.token_losses import summed_loss


def test_the_divergence_is_that_of_the_distributions():
    generator = torch.Generator().manual_seed(0)
    logits, anchor = (torch.randn(5, 11, generator=generator, dtype=torch.float64).float() for _ in range(2))
    weights = torch.tensor([1.0, 0.5, 0.0, 2.0, 1.0])
    logits.requires_grad_(True)
    p, q = anchor.softmax(-1), logits.softmax(-1)
    expected = (weights * (p * (p.log() - q.log())).sum(-1)).sum()
    found = anchor_divergence(logits, anchor, weights)
    torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad(found, logits)
    torch.testing.assert_close(gradient, weights[:, None] * (q - p).detach(), atol=1e-6, rtol=1e-5)
    assert float(anchor_divergence(anchor, anchor, weights)) == pytest.approx(0, abs=1e-6)


def test_the_rest_of_the_loss_is_that_of_dft():
    logits, labels, weights = torch.randn(4, 9), torch.tensor([1, 2, 3, 4]), torch.ones(4)
    dft, asft = (summed_loss(logits, labels, weights, LossOptions(loss_type=name)) for name in ("dft", "asft"))
    assert torch.equal(dft, asft)


def test_a_model_stays_nearer_with_it(tiny_model, tmp_path):
    rows = write_rows(tmp_path / "rows.jsonl", ragged_chats(8))

    def drift(alpha):
        run = training_run(tiny_model, rows, tuner="full", loss_type="asft", asft_alpha=alpha, epochs=4, batch_size=4, learning_rate=1e-2)
        return [line["drift"] for line in run_training(run, tmp_path / str(alpha)) if "drift" in line]

    free, held = drift(0.0), drift(10.0)
    assert free[0] == held[0] == pytest.approx(0, abs=1e-6)
    assert held[-1] < free[-1] / 2


def test_what_can_not_be_compared_is_refused(tiny_model, tmp_path):
    rows = write_rows(tmp_path / "rows.jsonl", ragged_chats(2))
    run = training_run(tiny_model, rows, loss_type="asft", parallel="mesh", parallel_options={"context": 2}, neftune_noise_alpha=5.0)
    assert [problem.where for problem in problems(run)] == ["loss_type", "neftune_noise_alpha"]
    assert not list(problems(training_run(tiny_model, rows, loss_type="asft")))
