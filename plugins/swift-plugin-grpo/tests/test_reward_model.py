"""A reward model as a reward: its scores over a URL are those of transformers; a run on it from the command line; what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from swift_rollouts.rewards.reward import Answered
from swift_rollouts.rewards.served import ServedReward
from swift_train.testing import run_training, training_run, write_rows
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from swift_core.contract import Server, UsageError
from tests.in_process_server import Served

QUESTION = {"role": "user", "content": "Name a colour."}


@pytest.fixture(scope="module")
def reward_model(tiny_model, tmp_path_factory):
    """A reward model that two steps of training have made."""
    folder = tmp_path_factory.mktemp("reward")
    rows = write_rows(folder / "pairs.jsonl", [{"prompt": f"Colour {n}?", "chosen": "Red.", "rejected": "No no no."} for n in range(8)])
    run_training(training_run(tiny_model, rows, task="rm", tuner="full", max_steps=2, batch_size=4, learning_rate=1e-2), folder / "run")
    return folder / "run/output"


def test_scores_are_those_of_transformers_and_train(tiny_model, reward_model, served, tmp_path):
    answers = [Answered(text="Red.", messages=[QUESTION]), Answered(text="I do not know.", messages=[QUESTION])]
    scoring = Served(reward_model, tmp_path)
    try:
        found = ServedReward(url=scoring.url).score(answers)
        rows = write_rows(tmp_path / "rows.jsonl", [{"messages": [{"role": "user", "content": f"Colour {n}?"}]} for n in range(4)])
        options = {"max_steps": 1, "batch_size": 4, "max_completion_length": 6, "rollout": served.url, "reward_server": scoring.url}
        run = replace(training_run(tiny_model, rows, task="ppo", **options), server=Server(served.url, ("m",)))
        (line,) = [line for line in run_training(run, tmp_path / "run") if "loss" in line]
    finally:
        scoring.close()
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(reward_model), AutoTokenizer.from_pretrained(reward_model)
    for answer, score in zip(answers, found, strict=True):
        text = tokenizer.apply_chat_template([QUESTION, {"role": "assistant", "content": answer.text}], tokenize=False)
        with torch.no_grad():
            logits = model(**tokenizer(text, add_special_tokens=False, return_tensors="pt")).logits
        assert score == pytest.approx(logits[0, 0].item(), abs=1e-5)
    generation = [json.loads(row) for row in (tmp_path / "run/rollouts/generation-000000.jsonl").read_text().splitlines()]
    assert generation[0]["rewards"] == ["reward-model"]
    assert line["reward"] == pytest.approx(sum(answer["rewards"][0] for row in generation[1:] for answer in row["answers"]) / 4)


def test_a_server_without_a_reward_model_is_named(served):
    with pytest.raises(UsageError) as caught:
        ServedReward(url=served.url).score([Answered(text="Red.", messages=[QUESTION])])
    assert served.url in str(caught.value)


@pytest.mark.full("rl")
def test_from_the_command_line(swift_project, tiny_model, reward_model):
    swift_project.write({"rows.jsonl": [{"messages": [{"role": "user", "content": f"Colour {n}?"}]} for n in range(4)]})
    words = ["--model", str(tiny_model), "--dataset", "rows.jsonl", "--batch-size", "4", "--max-steps", "2", "--dtype", "float32"]
    words = ["rlhf", "--rlhf_type", "ppo", *words, "--max-completion-length", "6"]
    swift_project.run(*words, "--reward_model", str(reward_model), "--output", "ppo").assert_success()
    assert (swift_project.folder / "ppo/adapter_model.safetensors").is_file()
    swift_project.run(*words, "--reward_model", str(tiny_model)).assert_failure("SWIFT-RL-050")
