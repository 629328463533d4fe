"""Every loss of DPO, and its gradient, is that of TRL on the same log-probabilities; and on the same rows over ten steps."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from swift_plugin_preference.answers import token_log_probabilities
from swift_plugin_preference.dpo_losses import LOSSES
from swift_plugin_preference.options import DpoOptions
from swift_plugin_preference.tasks import Dpo
from swift_train.batches import Micro
from swift_train.testing import run_training, training_run, write_rows
from test_training import preference_rows, sequence
from transformers import AutoModelForCausalLM, AutoTokenizer

SMOOTHED = ("exo_pair", "robust", "aot", "aot_unpaired")  # TRL has label smoothing for these alone
CASES = [[name] for name in LOSSES] + [["sigmoid", "bco_pair", "sft"], ["aot", "nca_pair"]]
pytestmark = pytest.mark.filterwarnings("ignore")


def options_of(losses):
    smoothing = {"label_smoothing": 0.1} if {*SMOOTHED} & {*losses} else {}
    return DpoOptions(loss_type=losses, loss_weights=[1.0, 0.5, 0.2][: len(losses)], beta=0.3, **smoothing)


def micro_of(lengths, reference):
    """Return a micro-batch of answers of these lengths, a chosen and a rejected one in turn."""
    count, pairs = sum(lengths), len(lengths) // 2
    ids = torch.zeros(1, count, dtype=torch.int64)
    sequence = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    return Micro(
        ids, ids, torch.arange(count), torch.randint(7, (count,)), torch.ones(count), tuple(range(pairs)), sequence,
        torch.arange(len(lengths)) // 2, torch.ones(pairs), {"reference": reference},
    )  # fmt: skip


@pytest.mark.parametrize("losses", CASES, ids="+".join)
def test_a_loss_and_its_gradient_are_those_of_trl(losses):
    """`sft` is a mean over tokens there and over pairs here: with answers of one length they are the same."""
    from trl_losses import loss_of_trl

    torch.manual_seed(3)
    lengths = [3] * 8 if "sft" in losses else [3, 5, 2, 4, 6, 1, 3, 3]
    logits = torch.randn(sum(lengths), 7, requires_grad=True)
    micro = micro_of(lengths, torch.zeros(8))
    found = token_log_probabilities(logits, micro)
    reference = micro.sums(found.detach()) + 0.7 * torch.randn(8)
    micro = replace(micro, columns={"reference": reference})
    options = options_of(losses)
    task = Dpo(options)
    step = SimpleNamespace(score=lambda micros, measure: [measure(logits.detach(), micros[0])], gather=lambda value: [value])
    ours = task.loss(logits, task.prepare(step, [micro])[0]).sum / 4
    order = [0, 2, 4, 6, 1, 3, 5, 7]  # TRL has the chosen answers first
    padded = torch.nn.utils.rnn.pad_sequence([found.split(lengths)[place] for place in order], batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones(lengths[place], dtype=torch.int64) for place in order], batch_first=True)
    theirs = loss_of_trl(options, padded, mask, reference[order])
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(torch.autograd.grad(ours, logits, retain_graph=True), torch.autograd.grad(theirs, logits))


@pytest.mark.full("rl")
@pytest.mark.parametrize("losses", CASES, ids="+".join)
def test_ten_steps_are_those_of_trl(losses, tiny_model, tmp_path):
    """Full fine-tuning, four pairs a step."""
    from trl_losses import loss_of_trl

    pairs = preference_rows(40)
    if "sft" in losses:
        pairs = [{**row, "chosen": "red green.", "rejected": "No far."} for row in pairs]
    rows, rate, options = write_rows(tmp_path / "rows.jsonl", pairs), 1e-3, options_of(losses)
    given = {name: getattr(options, name) for name in ("loss_type", "loss_weights", "beta", "label_smoothing")}
    settings = {"max_steps": 10, "learning_rate": rate, "max_grad_norm": 0.0, "shuffle": False, "schedule": "constant"}
    run = training_run(tiny_model, rows, task="dpo", tuner="full", batch_size=4, **given, **settings)
    ours = [line["loss"] for line in run_training(run, tmp_path / "run") if "loss" in line]
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model, base = (AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32) for _ in range(2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)

    def log_probabilities(of, ids, prompt):
        return torch.log_softmax(of(torch.tensor([ids])).logits[0, prompt - 1 : -1], -1)[range(len(ids) - prompt), ids[prompt:]]

    theirs = []
    for start in range(0, 40, 4):
        answers = [sequence(tokenizer, row, name) for name in ("chosen", "rejected") for row in pairs[start : start + 4]]
        with torch.no_grad():
            reference = torch.stack([log_probabilities(base, *answer).sum() for answer in answers])
        found = [log_probabilities(model, *answer) for answer in answers]
        padded, mask = (
            torch.nn.utils.rnn.pad_sequence(parts, batch_first=True)
            for parts in (found, [torch.ones(len(part), dtype=torch.int64) for part in found])
        )
        loss = loss_of_trl(options, padded, mask, reference)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        theirs.append(float(loss))
    assert ours == pytest.approx(theirs, abs=1e-4)
