"""Losses of tokens are their formulas, computed by torch; NEFTune's noise has its size, in training only."""

from __future__ import annotations

import shutil
from dataclasses import replace
from math import log, sqrt

import pytest
import torch
from safetensors.torch import load_file
from swift_testing.architectures import small_model
from swift_train.batches import Micro
from swift_train.embedding_noise import embedding_noise
from swift_train.loss_options import LossOptions
from swift_train.options import SftOptions
from swift_train.router_loss import problems
from swift_train.routers import router_weights
from swift_train.tasks import SftTask
from swift_train.testing import ragged_chats, run_training, training_run, write_rows
from swift_train.token_losses import summed_loss
from torch.nn.functional import cross_entropy, log_softmax
from transformers import AutoModelForCausalLM, Qwen3MoeConfig
from transformers.models.qwen3_moe.modeling_qwen3_moe import load_balancing_loss_func
from transformers.trainer_pt_utils import LabelSmoother

V = 50


def plain(logits, labels):
    return cross_entropy(logits, labels, reduction="none")


def probability(logits, labels):
    return (-plain(logits, labels)).exp()


def eaft(logits, labels, alpha):
    best = torch.softmax(logits.topk(20).values, -1)
    return plain(logits, labels) * ((-(best * best.log()).sum(-1) / log(20)) ** alpha).detach()


EXPECTED = {
    "cross-entropy": ({}, plain),
    "dft": ({}, lambda logits, labels: plain(logits, labels) * probability(logits, labels).detach()),
    "focal": ({"focal_gamma": 1.5}, lambda logits, labels: plain(logits, labels) * (1 - probability(logits, labels)) ** 1.5),
    "eaft": ({"eaft_alpha": 2.0}, lambda logits, labels: eaft(logits, labels, 2.0)),
}


@pytest.mark.parametrize("kind", EXPECTED)
@pytest.mark.parametrize("added", [{}, {"label_smoothing": 0.1}, {"z_loss": 1e-2}])
def test_values_and_gradients(kind, added):
    torch.manual_seed(0)
    values, labels, weights = torch.randn(7, V) * 3, torch.randint(V, (7,)), torch.tensor([1.0, 0.0, 1.0, 2.0, 1.0, 1.0, 0.5])
    ours, theirs = values.clone().requires_grad_(), values.clone().requires_grad_()
    options, expected = EXPECTED[kind]
    loss = summed_loss(ours, labels, weights, LossOptions(loss_type=kind, **options, **added))
    terms = expected(theirs, labels)
    if share := added.get("label_smoothing"):
        terms = (1 - share) * terms - share * log_softmax(theirs, -1).mean(-1)
    terms = terms + added.get("z_loss", 0.0) * theirs.logsumexp(-1) ** 2
    wanted = (terms * weights).sum()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    loss.backward()
    wanted.backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-4)


def test_label_smoothing_as_transformers():
    torch.manual_seed(0)
    logits, labels = torch.randn(7, V), torch.randint(V, (7,))
    found = summed_loss(logits, labels, torch.ones(7), LossOptions(label_smoothing=0.2)) / 7
    assert found.item() == pytest.approx(LabelSmoother(0.2)({"logits": logits[None]}, labels[None]).item(), rel=1e-6)


def test_noise_on_embeddings(tiny_model):
    from swift_train.batches import collate
    from swift_train.row_groups import RowGroup
    from swift_train.testing import samples_of
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model).train()
    samples = samples_of(tiny_model.parent / "samples", [([1, 2, 3, 4], [(1, 4, 1.0)]), (list(range(1, 17)), [(1, 16, 1.0)])])
    micro = collate(samples, RowGroup((0, 1), 1.0))
    embedding = model.get_input_embeddings()
    exact, size = embedding(micro.input_ids).detach(), embedding.weight.shape[1]
    with embedding_noise(model, micro, 5.0):
        noise = (embedding(micro.input_ids) - exact)[0]
    for row, length in ((noise[:4], 4), (noise[4:], 16)):
        limit = 5.0 / sqrt(length * size)
        assert 0.9 * limit < float(row.abs().max()) <= limit * 1.0001
    with embedding_noise(model.eval(), micro, 5.0):
        assert torch.equal(embedding(micro.input_ids), exact)


@pytest.mark.parametrize("options", [{"loss_type": "dft"}, {"neftune_noise_alpha": 5.0}])
def test_a_run_learns_and_resumes_exactly(tiny_model, tmp_path, options):
    rows = write_rows(
        tmp_path / "rows.jsonl", [{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello there."}]}] * 8
    )
    settings = {"max_steps": 6, "learning_rate": 1e-2, "tuner": "full", **options}

    def losses(**more):
        return [line["loss"] for line in run_training(training_run(tiny_model, rows, **settings, **more), **folder) if "loss" in line]

    folder = {"folder": tmp_path / "whole"}
    whole = losses()
    assert whole[-1] < whole[0]
    folder = {"folder": tmp_path / "parts", "stop_after": 3}
    first = losses()
    folder = {"folder": tmp_path / "parts"}
    assert first + losses(verb_options={"resume": str(tmp_path / "parts")}) == whole


@pytest.fixture(scope="module")
def mixture(tmp_path_factory, tiny_model):
    """A tiny mixture of experts with the tokenizer of the tiny model."""
    folder = tmp_path_factory.mktemp("mixture")
    shutil.copytree(tiny_model, folder, dirs_exist_ok=True)
    (folder / "model.safetensors").unlink()
    (folder / "swift.json").unlink(missing_ok=True)
    torch.manual_seed(0)
    config = Qwen3MoeConfig(
        vocab_size=320, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
        num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16, max_position_embeddings=512, norm_topk_prob=True,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_loss_of_the_router(mixture, checkpointing):
    """Its gradient is that of transformers' own loss, and the reported loss stays that of the tokens."""
    model = AutoModelForCausalLM.from_pretrained(mixture).train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    ids = torch.arange(3, 43)[None]
    scored = torch.arange(10, 39)
    micro = Micro(input_ids=ids, position_ids=torch.arange(40)[None], positions=scored, labels=ids[0, scored + 1],
                  weights=torch.ones(29), rows=(0,), sequence=torch.zeros(29, dtype=torch.int64), sample=torch.zeros(1, dtype=torch.int64),
                  sample_weights=torch.ones(1))  # fmt: skip
    task = SftTask(SftOptions(router_loss=0.5))
    found = task.loss(task.forward(model, micro), micro)
    (found.sum / 29).backward()
    ours = {name: weight.grad.clone() for name, weight in model.named_parameters()}
    model.zero_grad()
    out = model(input_ids=ids, output_router_logits=True)
    plain = cross_entropy(out.logits[0, scored], ids[0, scored + 1])
    balance = load_balancing_loss_func(out.router_logits, 4, 2)
    (plain + 0.5 * balance).backward()
    for name, weight in model.named_parameters():
        torch.testing.assert_close(ours[name], weight.grad, atol=1e-6, rtol=1e-4, msg=name)
    assert found.sum.item() / 29 == pytest.approx(plain.item(), rel=1e-5)
    value, count = found.metrics["router_loss"]
    assert value.item() / count.item() == pytest.approx(balance.item(), rel=1e-5)
    model.eval()
    assert not hasattr(task.loss(task.forward(model, micro), micro), "metrics")


def test_a_router_in_training(mixture, tiny_model, tmp_path):
    """It is balanced more with the loss than without; a model without experts is refused, and so is megatron."""
    rows = write_rows(tmp_path / "rows.jsonl", ragged_chats(8))
    last = [
        run_training(training_run(mixture, rows, tuner="full", learning_rate=1e-2, epochs=4, router_loss=weight), tmp_path / str(weight))[
            -1
        ]
        for weight in (1e-9, 1.0)
    ]
    assert last[1]["router_loss"] < last[0]["router_loss"]
    assert [problem.code for problem in problems(training_run(tiny_model, rows, router_loss=1.0))] == ["TRAIN-167"]
    run = training_run(mixture, rows, router_loss=1.0)
    assert not list(problems(run))
    strategies = [replace(run, parts={**run.parts, "parallel": replace(run.part("parallel"), **changed)}) for changed in (
        {"name": "megatron"}, {"name": "mesh", "options": {"pipeline": 2}})]  # fmt: skip
    assert [problem.where for each in strategies for problem in problems(each)] == ["router_loss"] * 2


@pytest.mark.parametrize("kind", ["qwen3_moe", "gpt_oss", "mixtral", "dbrx", "jamba", "switch_transformers", "granitemoe", "llama4_text"])
def test_routers_are_found_by_their_place(kind):
    """Without them no token changes its experts: the names are those that a reader of the model's code finds."""
    names = {"qwen3_moe": "gate", "mixtral": "gate"}
    model = small_model(kind, "seq2seq" if kind.startswith("switch") else "causal")
    found = router_weights(model)
    assert found == {name for name, _ in model.named_parameters() if f".{names.get(kind, 'router')}." in name}
    assert found


def test_a_frozen_router_stays_and_all_else_learns(mixture, tmp_path):
    rows = write_rows(tmp_path / "rows.jsonl", ragged_chats(4))
    run = training_run(mixture, rows, tuner="full", learning_rate=1e-2, max_steps=2, tuner_options={"freeze_router": True})
    run_training(run, tmp_path / "run")
    out = next((tmp_path / "run").rglob("model.safetensors"))
    before, after = load_file(mixture / "model.safetensors"), load_file(out)
    routers = router_weights(AutoModelForCausalLM.from_pretrained(mixture))
    assert {name for name, value in before.items() if torch.equal(value, after[name])} == routers
