"""What EvalScope is configured with."""

from __future__ import annotations

from swift_evaluate.prepare import prepare
from swift_evaluate.roles import Evaluation
from swift_plugin_evalscope.tasks import dataset_args, shared_args, task_config

from swift_core.contract import Server

QUESTION = '{"question": "2 + 3?", "answer": "#### 5"}'


def asked(tmp_path, **more):
    return Evaluation(folder=tmp_path, record=lambda item: None, **more)


def test_local_data_are_named_and_prompts_have_no_examples_if_there_are_none(tmp_path):
    (tmp_path / "test.jsonl").write_text(QUESTION)
    found = prepare("gsm8k", [tmp_path / "test.jsonl"], tmp_path / "out")
    settings = dataset_args(found, asked(tmp_path), "</think>")
    assert settings == {
        "dataset_id": str(tmp_path / "out"),
        "subset_list": ["main"],
        "few_shot_num": 0,
        "filters": {"remove_until": "</think>"},
    }
    (tmp_path / "train.jsonl").write_text(QUESTION)
    found = prepare("gsm8k", [tmp_path / "test.jsonl", tmp_path / "train.jsonl"], tmp_path / "both")
    assert "few_shot_num" not in dataset_args(found, asked(tmp_path), "")
    assert shared_args(asked(tmp_path, few_shot=2), "") == {"few_shot_num": 2}


def test_what_is_asked_reaches_evalscope(tmp_path):
    server = Server("http://127.0.0.1:1/v1", ("tuned", "base"), "secret")
    given = asked(tmp_path, limit=7, samples=3, concurrency=5, seed=4, max_tokens=99, temperature=0.5)
    config = task_config(server, given, {"gsm8k": {}}, {"top_p": 0.9})
    assert (config["model"], config["api_url"], config["api_key"]) == ("tuned", server.url, "secret")
    assert (config["limit"], config["repeats"], config["eval_batch_size"], config["seed"]) == (7, 3, 5, 4)
    fields = config["generation_config"]
    assert {name: fields[name] for name in ("max_tokens", "temperature", "seed", "top_p")} == {
        "max_tokens": 99,
        "temperature": 0.5,
        "seed": 4,
        "top_p": 0.9,
    }
    greedy = task_config(server, asked(tmp_path), {"gsm8k": {}}, {})
    assert (greedy["generation_config"]["temperature"], greedy["limit"]) == (0.0, None)
    assert "max_tokens" not in greedy["generation_config"]
