"""On-policy distillation: the divergence from the teacher falls."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from swift_plugin_grpo.local_teacher import divergences
from swift_rollouts.generation import Generation, generation_file
from swift_train.testing import run_training, training_run, write_rows
from transformers import AutoModelForCausalLM, AutoTokenizer

from swift_core.contract import Server
from tests.in_process_server import Served


@pytest.fixture(scope="module")
def teacher(tiny_model, tmp_path_factory):
    """The tiny model with other weights."""
    folder = tmp_path_factory.mktemp("teacher")
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    torch.manual_seed(3)
    with torch.no_grad():
        model.lm_head.weight.add_(0.02 * torch.randn_like(model.lm_head.weight))
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    made = Served(folder, folder)
    made.folder = folder
    yield made
    made.close()


def measured(model, served, teacher, folder, *, steps, answers):
    rows = write_rows(folder / "rows.jsonl", [{"messages": [{"role": "user", "content": f"Say {number}."}]} for number in range(answers)])
    run = training_run(
        model, rows, task="gkd", max_steps=steps, learning_rate=4e-3, schedule="constant", batch_size=answers, epochs=99,
        max_completion_length=8, rollout=served.url, teacher_server=teacher.url,
    )  # fmt: skip
    metrics = run_training(replace(run, server=Server(served.url, ("m",))), folder / "run")
    return [line["divergence"] for line in metrics if "loss" in line]


def test_answers_are_scored_by_the_teacher(tiny_model, served, teacher, tmp_path):
    """The estimate is positive, and the teacher's numbers are those of its own forward pass."""
    assert measured(tiny_model, served, teacher, tmp_path, steps=1, answers=16)[0] > 0
    group = Generation.read(generation_file(tmp_path / "run", 0)).groups[0]
    ids = [*group.ids, *group.answers[0].ids]
    with torch.inference_mode():
        logits = teacher.engine._served.unwrapped(input_ids=torch.tensor([ids]), use_cache=False).logits[0, len(group.ids) - 1 : -1]
    expected = logits.log_softmax(-1)[range(len(group.answers[0].ids)), group.answers[0].ids]
    torch.testing.assert_close(torch.tensor(group.answers[0].teacher), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_the_divergence_is_that_of_trl(beta):
    from trl.experimental.gkd.gkd_trainer import GKDTrainer

    torch.manual_seed(0)
    student, teacher = torch.randn(7, 50, requires_grad=True), torch.randn(7, 50)
    ours = divergences(student, teacher, beta).sum() / 7
    theirs = GKDTrainer.generalized_jsd_loss(student[None], teacher[None], torch.zeros(1, 7, dtype=torch.long), beta=beta)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(torch.autograd.grad(ours, student), torch.autograd.grad(theirs, student))


def test_a_teacher_in_the_process_on_sampled_and_given_answers(tiny_model, served, teacher, tmp_path):
    """With a share of given answers: their tokens are those of the rows, and the loss of the first step is the divergence by hand."""
    said = [{"role": "assistant", "content": "Yes. " * 3}]
    rows = write_rows(
        tmp_path / "rows.jsonl", [{"messages": [{"role": "user", "content": f"Say {number}."}, *said]} for number in range(8)]
    )
    options = {
        "max_steps": 6, "learning_rate": 2e-3, "schedule": "constant", "batch_size": 8, "epochs": 99, "max_completion_length": 24,
        "rollout": served.url, "teacher_model": str(teacher.folder), "lmbda": 0.5, "beta": 0.5, "shuffle": False,
    }  # fmt: skip
    run = training_run(tiny_model, rows, task="gkd", validation=rows, **options)
    metrics = run_training(replace(run, server=Server(served.url, ("m",))), tmp_path / "run")
    answers = [(group, answer) for group in Generation.read(generation_file(tmp_path / "run", 0)).groups for answer in group.answers]
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    given = [answer for _, answer in answers if answer.given]
    assert 0 < len(given) < 8
    assert {tokenizer.decode(answer.ids, skip_special_tokens=True) for answer in given} == {"Yes. " * 3}
    models = [AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32) for path in (tiny_model, teacher.folder)]
    with torch.no_grad():
        logits = [
            torch.cat([model(torch.tensor([[*group.ids, *answer.ids]])).logits[0, len(group.ids) - 1 : -1] for group, answer in answers])
            for model in models
        ]
    expected = float(divergences(*logits, 0.5).mean())
    lines = [line for line in metrics if "loss" in line]
    assert (lines[0]["loss"], lines[0]["divergence"]) == (pytest.approx(expected, abs=1e-5),) * 2
    assert lines[0]["kl_engine"] < 1e-5
    held = [line["heldout_divergence"] for line in metrics if "heldout_divergence" in line]
    assert held[-1] < held[0]


@pytest.mark.parametrize("kind", ["teacher_model", "teacher_server"])
def test_a_teacher_in_grpo_is_an_advantage_of_each_token(tiny_model, reloaded, teacher, tmp_path, kind):
    """The gradient of the first step is that of the policy gradient in plain torch; also if the reward tells the answers nothing."""
    (tmp_path / "rewards.py").write_text("def one(completions):\n    return [1.0 for _ in completions]\n")
    rows = write_rows(tmp_path / "rows.jsonl", [{"messages": [{"role": "user", "content": f"Say {number}."}]} for number in range(3)])
    given = {"teacher_model": str(teacher.folder)} if kind == "teacher_model" else {"teacher_server": teacher.url}
    run = training_run(
        tiny_model, rows, task="grpo", tuner="full", max_steps=1, batch_size=6, num_generations=2, max_completion_length=8,
        reward_funcs=[f"{tmp_path}/rewards.py:one"], teacher_kl_coef=0.7, max_grad_norm=0.0, rollout=reloaded.url, **given,
    )  # fmt: skip
    (line,) = run_training(replace(run, server=Server(reloaded.url, ("m",))), tmp_path / "run")
    model, other = (AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32) for path in (tiny_model, teacher.folder))
    total, divergence, count = torch.zeros(()), 0.0, 0
    for group in Generation.read(generation_file(tmp_path / "run", 0)).groups:
        for answer in group.answers:
            ids, own = torch.tensor([[*group.ids, *answer.ids]]), torch.tensor(answer.ids)[:, None]
            now, its = (each(ids).logits[0, len(group.ids) - 1 : -1].log_softmax(-1).gather(1, own)[:, 0] for each in (model, other))
            nearer = (its - now).detach()
            total = total - (0.7 * nearer * now).sum()
            divergence, count = divergence + float((nearer.exp() - nearer - 1).sum()), count + len(own)
    (total / count).backward()
    norm = torch.sqrt(sum(parameter.grad.square().sum() for parameter in model.parameters() if parameter.grad is not None))
    assert line["grad_norm"] == pytest.approx(float(norm), rel=1e-3)
    assert line["teacher_kl"] == pytest.approx(divergence / count, abs=1e-5)


@pytest.mark.full("rl")
def test_the_divergence_from_the_teacher_falls(tiny_model, served, teacher, tmp_path):
    found = measured(tiny_model, served, teacher, tmp_path, steps=12, answers=64)
    assert sum(found[-3:]) < 0.8 * sum(found[:3]), found
