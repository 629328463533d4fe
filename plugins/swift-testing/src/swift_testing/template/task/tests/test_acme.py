"""With a weight of 0 the loss is plain cross entropy; with another, uniform predictions have less."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from swift_plugin_acme.options import AcmeOptions
from swift_plugin_acme.task import Acme
from swift_train.options import SftOptions
from swift_train.tasks import SftTask
from swift_train.testing import run_training, training_run, write_rows

ROW = {"messages": [{"role": "user", "content": "Capital of France?"}, {"role": "assistant", "content": "Paris."}]}
MICRO = SimpleNamespace(labels=torch.tensor([3, 1]), weights=torch.tensor([1.0, 0.5]))


def test_with_a_weight_of_0_it_is_cross_entropy():
    logits = torch.randn(2, 7, generator=torch.manual_seed(0))
    plain = SftTask(SftOptions()).loss(logits, MICRO)
    assert torch.allclose(Acme(AcmeOptions(confidence_penalty=0)).loss(logits, MICRO), plain)


def test_uniform_predictions_have_less_loss():
    plain, penalised = (Acme(AcmeOptions(confidence_penalty=weight)).loss(torch.zeros(2, 7), MICRO) for weight in (0, 0.1))
    assert torch.allclose(plain - penalised, 0.1 * 1.5 * torch.tensor(7.0).log())


def test_it_trains(tiny_model, tmp_path):
    rows = write_rows(tmp_path / "rows.jsonl", [ROW] * 4)
    run = training_run(tiny_model, rows, task="acme", tuner="full", max_steps=3, batch_size=2, learning_rate=1e-3)
    losses = [metric["loss"] for metric in run_training(run, tmp_path / "run") if "loss" in metric]
    assert losses[-1] < losses[0]


def test_swift_shows_the_supervised_tokens(tiny_model, swift_project):
    swift_project.write({"rows.jsonl": [ROW]})
    outcome = swift_project.run("data", "show", "rows.jsonl", "--task", "acme", "--model", str(tiny_model))
    outcome.assert_success()
    assert "Paris" in outcome.out


def test_swift_trains_it_from_python(tiny_model, tmp_path):
    from swift_core import train

    rows = write_rows(tmp_path / "rows.jsonl", [ROW] * 2)
    result = train(
        "acme",
        model=str(tiny_model),
        dataset=[str(rows)],
        max_steps=1,
        confidence_penalty=0.2,
        tuner="full",
        device="cpu",
        runs=str(tmp_path / "runs"),
    )
    assert result.status == "done"
    assert result.figures["loss_first"] > 0
    assert (result.output / "model.safetensors").is_file()
