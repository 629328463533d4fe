"""Each step has the size of the learning rate, and swift trains with it."""

from __future__ import annotations

import torch
from swift_plugin_acme.optimizer import Acme
from swift_plugin_acme.options import AcmeOptions

ROW = {"messages": [{"role": "user", "content": "Capital of France?"}, {"role": "assistant", "content": "Paris."}]}


def test_a_step_has_the_size_of_the_learning_rate():
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = Acme(AcmeOptions()).build([{"params": [weight], "mult": 2.0}], lr=0.1)
    (weight**2).sum().backward()
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.tensor([0.9, -1.9]))
    assert optimizer.param_groups[0]["mult"] == 2.0


def test_weights_decay():
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = Acme(AcmeOptions(weight_decay=0.5)).build([{"params": [weight]}], lr=0.1)
    weight.grad = torch.zeros(1)
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.tensor([0.95]))


def test_swift_trains_with_it(tiny_model, swift_project):
    swift_project.write({"rows.jsonl": [ROW] * 4})
    words = ("--model", str(tiny_model), "--dataset", "rows.jsonl", "--max-steps", "3", "--device", "cpu", "--json")
    outcome = swift_project.run("sft", "--optimizer", "acme", "--learning-rate", "1e-3", *words)
    outcome.assert_success()
    assert outcome.json()["figures"]["loss_last"] < outcome.json()["figures"]["loss_first"]
