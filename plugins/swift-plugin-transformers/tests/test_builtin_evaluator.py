"""`swift eval --evaluator builtin`: its numbers against transformers called by hand, on the same rows."""

from __future__ import annotations

import json
import math

import pytest
import torch
from swift_plugin_transformers.evaluation.calibration import expected_error
from swift_plugin_transformers.evaluation.encoding import Sequence
from swift_plugin_transformers.evaluation.evaluator import Builtin
from swift_plugin_transformers.evaluation.options import BuiltinOptions
from swift_testing.evaluation import evaluation
from transformers import AutoModelForCausalLM, AutoTokenizer

from swift_core.contract import UsageError

TEXTS = ["the cat sat on the mat", "a much longer text about nothing in particular, which is split into windows " * 3, "short"]


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return path


def by_hand(folder, text, length):
    """Negative log-likelihood of a text as lm-eval's rolling windows have it, written out: one token at a time."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    first = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    ids = [first, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    n, nll = len(ids) - 1, 0.0
    for target in range(1, n + 1):
        last = min(-(-target // length) * length, n)  # the end of its window
        context = ids[max(0, last - length) : target]
        with torch.inference_mode():
            logits = model(torch.tensor([context])).logits[0, -1].double()
        nll -= float(logits.log_softmax(-1)[ids[target]])
    return nll, n


def run(folder, tmp_path, *tasks, recorded=None, **options):
    asked, items = evaluation(tmp_path / "out", *tasks, recorded=recorded or {})
    return Builtin(BuiltinOptions(device="cpu", dtype="float32", **options)).evaluate(folder, asked), items


@pytest.mark.slow
def test_perplexity_is_that_of_rolling_windows(tiny_model, tmp_path, rows):
    found, items = run(tiny_model, tmp_path, "perplexity", rows=str(rows), max_length=16)
    nll, tokens = map(sum, zip(*(by_hand(tiny_model, text, 16) for text in TEXTS), strict=True))
    values = found.values["perplexity"]
    assert values["loss"] == pytest.approx(nll / tokens, rel=1e-5)
    assert values["perplexity"] == pytest.approx(math.exp(nll / tokens), rel=1e-4)
    assert values["bits_per_byte"] == pytest.approx(nll / math.log(2) / sum(len(text.encode()) for text in TEXTS), rel=1e-5)
    assert found.standard_errors["perplexity"]["loss"] > 0
    assert len(items) == 3
    recorded = {(item.task, item.id, item.sample): item for item in items}
    again, none = run(tiny_model, tmp_path, "perplexity", rows=str(rows), max_length=16, recorded=recorded)
    assert none == []
    assert again.values == found.values


@pytest.mark.slow
def test_a_checkpoint_does_not_diverge_from_itself(tiny_model, tmp_path, rows):
    found, _ = run(tiny_model, tmp_path, "divergence", rows=str(rows), reference=str(tiny_model))
    assert found.values["divergence"] == {"kl": pytest.approx(0, abs=1e-6), "top1_agreement": 1.0}
    with pytest.raises(UsageError, match="reference"):
        run(tiny_model, tmp_path, "divergence", rows=str(rows))


@pytest.mark.slow
def test_preferences_and_choices(tiny_model, tmp_path):
    question = [{"role": "user", "content": "hello"}]
    answers = [[{"role": "assistant", "content": text}] for text in ("one", "two two two")]
    pairs = [{"prompt": question, "chosen": chosen, "rejected": other} for chosen, other in (answers, answers[::-1])]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    _, items = run(tiny_model, tmp_path, "preference", rows=str(tmp_path / "pairs.jsonl"))
    first, second = (item.scores for item in items)
    assert first["accuracy"] + second["accuracy"] == 1
    assert first["margin"] == pytest.approx(-second["margin"])
    choices = {"question": "Which?", "choices": ["a", "b", "c"], "answer": 1}
    (tmp_path / "choices.jsonl").write_text(json.dumps(choices) + "\n")
    found, items = run(tiny_model, tmp_path, "calibration", rows=str(tmp_path / "choices.jsonl"))
    (item,) = items
    assert 1 / 3 <= item.scores["confidence"] <= 1
    error = abs(item.scores["accuracy"] - item.scores["confidence"])
    assert found.values["calibration"]["calibration_error"] == pytest.approx(error)


@pytest.mark.slow
def test_from_the_command_line(swift_project, tiny_model, rows):
    words = ("eval", str(tiny_model), "--evaluator", "builtin", "--tasks", "perplexity", "--rows", str(rows), "--device", "cpu")
    swift_project.run(*words).assert_success()
    (folder,) = swift_project.folder.glob("runs/*")
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["scores"]["perplexity"]["row_loss"]["n"] == 3
    assert "loss" in scores["lower_is_better"]
    swift_project.run(*words, "--tasks", "perplexiti").assert_failure("perplexiti")


def test_windows_predict_each_token_once():
    sequence = Sequence(list(range(11)), [True] * 10)
    windows = list(sequence.windows(4))
    assert [window.ids for window in windows] == [[0, 1, 2, 3, 4], [4, 5, 6, 7, 8], [6, 7, 8, 9, 10]]
    assert [len(window.counted) for window in windows] == [4, 4, 2]


def test_the_calibration_error_is_that_of_its_bins():
    rows = [{"accuracy": 1.0, "confidence": 0.9}, {"accuracy": 0.0, "confidence": 0.92}, {"accuracy": 1.0, "confidence": 0.35}]
    assert expected_error(rows, 10) == pytest.approx((abs(1 - 0.9 - 0.92) + abs(1 - 0.35)) / 3)
