"""An encoder-decoder model as a user has it: fine-tuned with transformers' own loss, merged, asked; and what it can't do is refused."""

from __future__ import annotations

import json

import pytest
import torch
from swift_testing.architectures import write_small_model
from swift_train.build import load_checkpoint

from swift_core.checkpoints import Checkpoint

pytestmark = pytest.mark.slow

PAIRS = [("Translate: one two", "eins zwei"), ("Translate: three", "drei"), ("What is the answer?", "It is in the question.")]


@pytest.fixture
def project(swift, tmp_path):
    write_small_model(tmp_path / "model", "t5", "seq2seq")
    rows = [{"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]} for asked, answer in PAIRS]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = json.loads((tmp_path / "model" / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (tmp_path / "model" / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "model" / "chat_template.jinja").unlink(missing_ok=True)
    return swift


def sft(swift, *words):
    options = ["--model", "model", "--dataset", "rows.jsonl", "--batch-size", "3", "--dtype", "float32", "--device", "cpu"]
    return swift("sft", *options, *words)


def expected_loss(folder):
    """The mean over all target tokens, as transformers computes it of labels, in a padded batch."""
    loaded = load_checkpoint(folder, device="cpu")
    model, tokenizer = loaded.model, loaded.processor
    source = tokenizer([asked for asked, _ in PAIRS], padding=True, return_tensors="pt")
    targets = [[*tokenizer(answer)["input_ids"], tokenizer.eos_token_id] for _, answer in PAIRS]
    labels = torch.nn.utils.rnn.pad_sequence([torch.tensor(ids) for ids in targets], batch_first=True, padding_value=-100)
    with torch.no_grad():
        return float(type(model).forward(model, source["input_ids"], attention_mask=source["attention_mask"], labels=labels).loss)


def test_trained_with_the_loss_of_transformers_and_merged_and_asked(project):
    trained = sft(project, "--max-steps", "8", "--learning-rate", "0.05", "--logging-steps", "1", "--output", "adapter")
    assert trained.code == 0, trained.err
    run = next((project.folder / "runs").iterdir())
    losses = [line["loss"] for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if "loss" in line]
    assert losses[0] == pytest.approx(expected_loss(project.folder / "model"), rel=1e-5)
    assert losses[-1] < losses[0]
    sample = json.loads((run / "mask_sample.json").read_text())
    assert any(piece["supervised"] for piece in sample["pieces"])
    assert json.loads((project.folder / "adapter" / "adapter_config.json").read_text())["task_type"] == "SEQ_2_SEQ_LM"
    merged = project("merge", "adapter", "--output", "merged", "--device", "cpu", "--json")
    assert merged.code == 0, merged.err
    assert Checkpoint.at(project.folder / "merged").config["architectures"] == ["T5ForConditionalGeneration"]
    answers = []
    for model in ("adapter", "merged"):
        asked = project("ask", model, "--questions", PAIRS[0][0], "--max-tokens", "4", "--device", "cpu", "--output", f"{model}.jsonl")
        assert asked.code == 0, asked.err
        answers.append(json.loads((project.folder / f"{model}.jsonl").read_text().splitlines()[0])["answer"])
    assert answers[0] == answers[1]
    loaded = load_checkpoint(project.folder / "merged", device="cpu")
    made = loaded.model.generate(**loaded.processor(PAIRS[0][0], return_tensors="pt"), max_new_tokens=4)
    assert answers[1].strip() == loaded.processor.decode(made[0], skip_special_tokens=True).strip()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--truncation", "split", "--max-length", "16"), "TRAIN-235"),
        (("--mask.turns", "everything"), "TRAIN-235"),
        (("--truncation", "right", "--max-length", "4"), "TRAIN-230"),
    ],
)
def test_what_does_not_apply_is_refused(project, words, code):
    outcome = sft(project, *words, "--max-steps", "1", "--output", "out")
    assert outcome.code == 2
    assert code in outcome.err
    assert not (project.folder / "out").exists()


def test_sources_are_cut_and_targets_are_not(project):
    outcome = sft(project, "--truncation", "right", "--max-length", "30", "--max-steps", "1", "--output", "out")
    assert outcome.code == 0, outcome.err


def test_another_task_is_refused(project):
    outcome = project("pretrain", "--model", "model", "--dataset", "rows.jsonl", "--max-steps", "1", "--output", "out")
    assert outcome.code == 2
