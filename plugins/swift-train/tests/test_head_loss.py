"""The head computes the loss by chunks: the same loss and gradients, and never the logits of all tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from swift_testing.architectures import small_model
from swift_train import head_loss
from swift_train.batches import micro_of
from swift_train.options import PretrainOptions
from swift_train.row_groups import RowGroup
from swift_train.samples import Sample
from swift_train.tasks import PretrainTask
from torch.nn.functional import cross_entropy, linear
from torch.utils._python_dispatch import TorchDispatchMode


@pytest.mark.parametrize("trained", ["states", "weight", "both"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss_and_gradients_are_those_of_the_logits(monkeypatch, trained, dtype):
    monkeypatch.setattr(head_loss, "CPU_CHUNK", 5 * 31)
    torch.manual_seed(0)
    states, weight = torch.randn(12, 8).to(dtype), torch.randn(31, 8)
    bias, labels, weights = torch.randn(31), torch.randint(31, (12,)), torch.rand(12)
    wanted = [states.requires_grad_()] if trained != "weight" else []
    wanted += [weight.requires_grad_(), bias.requires_grad_()] if trained != "states" else []
    logits = linear(states, weight.to(dtype), bias.to(dtype)).float()
    expected = (cross_entropy(logits, labels, reduction="none") * weights).sum()
    found = head_loss.head_cross_entropy(states, weight, bias, labels, weights)
    close = {"atol": 1e-5, "rtol": 1e-5} if dtype == torch.float32 else {"atol": 5e-2, "rtol": 3e-2}
    torch.testing.assert_close(found, expected, **close)
    for ours, theirs in zip(*(torch.autograd.grad(3 * loss, wanted) for loss in (found, expected)), strict=True):
        torch.testing.assert_close(ours, theirs, **close)


def micro():
    """Three rows, of which the last tokens are supervised."""
    random = np.random.default_rng(0)
    rows = [Sample(random.integers(3, 250, 20, np.int32), (np.arange(20) >= 20 - own).astype(np.float32), "") for own in (9, 4, 13)]
    return micro_of([[row] for row in rows], RowGroup((0, 1, 2), 1.0))


@pytest.mark.parametrize(
    ("kind", "values", "fused"),
    [
        ("llama", {}, True),
        ("gpt2", {}, True),  # the head's weight is that of the embeddings
        ("gemma2", {"final_logit_softcapping": 3.0}, False),
        ("cohere", {"logit_scale": 0.3}, False),
        ("granite", {"logits_scaling": 4.0}, False),
    ],
)
def test_a_step_is_the_same_and_models_that_change_logits_keep_them(kind, values, fused, monkeypatch):
    model, task = small_model(kind, **values).train(), PretrainTask(PretrainOptions())
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    monkeypatch.setattr(head_loss, "CPU_CHUNK", 5 * model.config.vocab_size)
    assert task._in_head.applies_to(model, micro()) == fused
    assert model.training
    found = []
    for loss in (task.loss(task.forward(model, micro()), micro()), task.forward_loss(model, micro())):
        model.zero_grad()
        loss.backward()
        found.append((float(loss.detach()), [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]))
    (plain, gradients), (chunked, theirs) = found
    assert chunked == pytest.approx(plain, rel=2e-6)
    for one, other in zip(gradients, theirs, strict=True):
        torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-3)


class Largest(TorchDispatchMode):
    """The most rows of a tensor with an output for every token of the vocabulary, that is not the head's weight."""

    def __init__(self, head):
        super().__init__()
        (self.vocabulary, self.size), self.rows = head.weight.shape, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor) and found.dim() > 1 and found.shape[-1] == self.vocabulary and found.shape[-2] != self.size:
            self.rows = max(self.rows, found.numel() // self.vocabulary)
        return found


def test_logits_of_all_tokens_are_never_there(monkeypatch):
    model, task = small_model("llama"), PretrainTask(PretrainOptions())
    monkeypatch.setattr(head_loss, "CPU_CHUNK", 5 * model.config.vocab_size)
    assert task._in_head.applies_to(model, micro())
    with Largest(model.lm_head) as largest:
        task.forward_loss(model, micro()).backward()
    assert largest.rows == 5
    with Largest(model.lm_head) as largest:
        task.loss(task.forward(model, micro()), micro()).backward()
    assert largest.rows == len(micro().labels)


@pytest.mark.parametrize("own", ["forward", "loss"])
def test_a_task_with_a_loss_of_its_own_gets_the_logits(own):
    """One that derives from a task of ours; its loss must not be replaced in silence."""
    kind = type("Own", (PretrainTask,), {own: lambda self, *given: getattr(PretrainTask, own)(self, *given) * 2})
    model = small_model("llama")
    plain, doubled = (float(task(PretrainOptions()).forward_loss(model, micro())) for task in (PretrainTask, kind))
    assert (doubled == pytest.approx(2 * plain, rel=1e-5)) == (own == "loss")
    assert doubled != pytest.approx(plain, rel=1e-3)
