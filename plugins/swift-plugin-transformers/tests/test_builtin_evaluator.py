"""`swift eval --evaluator builtin`: its numbers against transformers called by hand, on the same rows."""

from __future__ import annotations

import json
import math

import pytest
import torch
from peft import PeftModel
from swift_plugin_transformers.evaluation import passes, scored_model
from swift_plugin_transformers.evaluation.calibration import expected_error
from swift_plugin_transformers.evaluation.encoding import Sequence
from swift_plugin_transformers.evaluation.evaluator import Builtin
from swift_plugin_transformers.evaluation.options import BuiltinOptions
from swift_plugin_transformers.evaluation.scored_model import ScoredModel
from swift_plugin_transformers.evaluation.speed import prompt_of
from swift_testing.evaluation import evaluation
from swift_train.testing_adapters import learned_adapter
from transformers import AutoModelForCausalLM, AutoTokenizer

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
def test_rows_in_one_pass_have_the_losses_that_they_have_alone(tiny_model, tmp_path, rows, monkeypatch):
    made = []
    plain = passes._collate
    monkeypatch.setattr(passes, "_collate", lambda inputs, *more: made.append(len(inputs)) or plain(inputs, *more))
    _, alone = run(tiny_model, tmp_path, "perplexity", rows=str(rows), max_length=16, micro_tokens=1)
    assert set(made) == {1}
    made.clear()
    _, together = run(tiny_model, tmp_path, "perplexity", rows=str(rows), max_length=16, micro_tokens=256)
    assert max(made) > 4
    for one, other in zip(alone, together, strict=True):
        assert one.id == other.id
        assert one.scores == pytest.approx(other.scores, rel=1e-5)


@pytest.mark.slow
def test_logits_in_blocks_are_the_models_own(tiny_model, monkeypatch):
    model = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    window = Sequence(list(range(3, 40)), [True] * 36)
    (only,) = passes.passes([window], ScoredModel(model, 1))
    own = model(input_ids=torch.tensor([window.ids[:-1]])).logits[0].detach()
    monkeypatch.setattr(scored_model, "_BLOCK", 5 * own.shape[-1])
    scored = ScoredModel(model, 1)
    states = scored.states(only.micro)
    assert states.head is not None
    blocks = list(scored.logits(states))
    assert [block.stop - block.start for block, _ in blocks] == [5] * 7 + [1]
    assert torch.allclose(torch.cat([logits for _, logits in blocks]), own, atol=1e-5)
    monkeypatch.setattr(model, "forward", lambda plain=model.forward, **given: _capped(plain(**given)))
    capped = ScoredModel(model, 1)  # its output layer alone does not give its logits
    states = capped.states(only.micro)
    assert states.head is None
    assert torch.allclose(torch.cat([logits for _, logits in capped.logits(states)]), _cap(own), atol=1e-5)


def _cap(logits):
    return logits.div(2).tanh().mul(2)


def _capped(output):
    output.logits = _cap(output.logits)
    return output


@pytest.mark.slow
def test_an_adapter_is_applied(swift_project, tiny_model, tmp_path, rows):
    learned_adapter(tiny_model, tmp_path / "adapter")
    merged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model), tmp_path / "adapter").merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path / "merged")
    expected = run(tmp_path / "merged", tmp_path, "perplexity", rows=str(rows))[0].values["perplexity"]["loss"]
    base = run(tiny_model, tmp_path, "perplexity", rows=str(rows))[0].values["perplexity"]["loss"]
    assert abs(expected - base) > 1e-3
    words = ("--adapter", str(tmp_path / "adapter"), "--evaluator", "builtin", "--rows", str(rows), "--device", "cpu", "--dtype", "float32")
    for number, model in enumerate(((), (str(tiny_model),)), 1):  # alone, and on its base
        swift_project.run("eval", *model, *words).assert_success()
        folders = sorted(swift_project.folder.glob("runs/*"), key=lambda path: path.stat().st_mtime_ns)
        assert len(folders) == number
        scores = json.loads((folders[-1] / "scores.json").read_text())
        assert scores["scores"]["perplexity"]["loss"]["value"] == pytest.approx(expected, rel=1e-5)
        assert len(scores["adapters"]) == 1


@pytest.mark.slow
def test_speed_is_measured(tiny_model, tmp_path, rows):
    asked, items = evaluation(tmp_path / "out", "speed", max_tokens=4)
    found = Builtin(BuiltinOptions(device="cpu", dtype="float32", rows=str(rows))).evaluate(tiny_model, asked)
    values = found.values["speed"]
    sums = [json.loads(item.output) for item in items]
    firsts = [item.scores["time_to_first_token"] for item in items]
    assert values["prefill_tokens_per_second"] == pytest.approx(sum(each["prompt_tokens"] for each in sums) / sum(firsts))
    assert values["decode_tokens_per_second"] == pytest.approx(9 / sum(each["decode_seconds"] for each in sums))
    assert min(firsts) <= values["time_to_first_token_p50"] <= values["time_to_first_token_p99"] <= max(firsts)


def test_the_prompt_of_a_conversation_ends_before_its_last_answer():
    conversation = Sequence(list(range(8)), [False, True, True, False, False, True, True])
    assert prompt_of(conversation, 100) == [0, 1, 2, 3, 4, 5]
    assert prompt_of(conversation, 2) == [4, 5]
    assert prompt_of(Sequence([0, 1, 2], [True, True]), 100) == [0, 1, 2]


@pytest.mark.slow
def test_a_checkpoint_does_not_diverge_from_itself(tiny_model, tmp_path, rows):
    found, _ = run(tiny_model, tmp_path, "divergence", rows=str(rows), reference=str(tiny_model))
    assert found.values["divergence"] == {"kl": pytest.approx(0, abs=1e-6), "top1_agreement": 1.0}


@pytest.mark.slow
def test_mistakes_are_found_before_anything_runs(swift_project, tiny_model, rows):
    words = ("eval", str(tiny_model), "--evaluator", "builtin", "--device", "cpu")
    for more, code in (
        (("--tasks", "perplexiti", "--rows", str(rows)), "EVAL-067"),
        (("--tasks", "perplexity"), "EVAL-068"),
        (("--tasks", "divergence", "--rows", str(rows)), "EVAL-064"),
        (("--rows", "absent.jsonl"), "EVAL-096"),
    ):
        swift_project.run(*words, *more).assert_failure(code)
    outcome = swift_project.run("eval", "http://127.0.0.1:1/v1", "--evaluator", "builtin", "--rows", str(rows))
    outcome.assert_failure("EVAL-002")
    assert "EVAL-001" not in outcome.err
    assert not list(swift_project.folder.glob("runs/*"))


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


def test_windows_predict_each_token_once():
    sequence = Sequence(list(range(11)), [True] * 10)
    windows = list(sequence.windows(4))
    assert [window.ids for window in windows] == [[0, 1, 2, 3, 4], [4, 5, 6, 7, 8], [6, 7, 8, 9, 10]]
    assert [len(window.counted) for window in windows] == [4, 4, 2]


def test_the_calibration_error_is_that_of_its_bins():
    rows = [{"accuracy": 1.0, "confidence": 0.9}, {"accuracy": 0.0, "confidence": 0.92}, {"accuracy": 1.0, "confidence": 0.35}]
    assert expected_error(rows, 10) == pytest.approx((abs(1 - 0.9 - 0.92) + abs(1 - 0.35)) / 3)
