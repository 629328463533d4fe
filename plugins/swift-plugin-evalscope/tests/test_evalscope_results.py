"""EvalScope's files, recorded from a real run of EvalScope 1.14.1, as items and scores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from swift_evaluate.prepare import prepare
from swift_plugin_evalscope.results import Reviews, scores

RECORDED = Path(__file__).parent / "recorded"


def report(name):
    return json.loads((RECORDED / "reports" / "model" / f"{name}.json").read_text(encoding="utf-8"))


def test_the_means_of_the_items_are_evalscopes_own_numbers():
    found = list(Reviews("mmlu", "mmlu", RECORDED).new())
    assert len(found) == 5
    assert {item.cluster for item in found} == {"anatomy", "astronomy"}
    assert sum(item.scores["accuracy"] for item in found) / 5 == pytest.approx(scores(report("mmlu"))["accuracy"])
    assert {item.status for item in found} == {"ok"}
    assert len({(item.id, item.prompt) for item in found}) == 5
    assert found[0].output.startswith("The answer is 5.")
    assert {item.expected for item in found} == {"A", "B", "C", "D"}


def test_a_mean_over_instructions_is_no_mean_of_items():
    found = list(Reviews("ifeval", "ifeval", RECORDED).new())
    assert {name for item in found for name in item.scores} == {"prompt_level_strict", "prompt_level_loose"}
    assert "inst_level_strict" in scores(report("ifeval"))


def test_ids_are_those_of_the_local_rows(tmp_path):
    for subject, letters in (("anatomy", "ABC"), ("astronomy", "BD")):
        rows = [f"{subject} question {number}?,one,two,three,four,{letter}\n" for number, letter in enumerate(letters)]
        (tmp_path / f"{subject}_test.csv").write_text("".join(rows))
    data = prepare("mmlu", [tmp_path], tmp_path / "out")
    found = list(Reviews("mmlu", "mmlu", RECORDED, data).new())
    rows = {row["id"]: row for subset in data.subsets for row in data.rows(subset)}
    assert {item.id for item in found} == set(rows)
    assert all(item.question == rows[item.id]["question"] for item in found)
    assert all(item.expected == "ABCD"[rows[item.id]["answer"]] for item in found)


def test_without_local_rows_the_question_is_the_prompt_unless_examples_are_in_it():
    first, *_ = Reviews("ifeval", "ifeval", RECORDED).new()
    assert first.question.startswith("Write about cat ")
    assert {item.question for item in Reviews("ifeval", "ifeval", RECORDED, examples=True).new()} == {""}


def test_files_are_followed_while_they_grow(tmp_path):
    shutil.copytree(RECORDED / "predictions", tmp_path / "predictions")
    path = tmp_path / "reviews" / "model" / "mmlu_anatomy.jsonl"
    path.parent.mkdir(parents=True)
    first, second, _ = (RECORDED / "reviews" / "model" / "mmlu_anatomy.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    reviews = Reviews("mmlu", "mmlu", tmp_path)
    assert list(reviews.new()) == []
    path.write_text(first + second[:40], encoding="utf-8")
    assert len(list(reviews.new())) == 1
    path.write_text(first + second, encoding="utf-8")
    assert len(list(reviews.new())) == 1
    missing = list(reviews.missing(report("mmlu")))
    assert [(item.status, item.scores) for item in missing] == [("failed", {})] * 3  # of five that were asked for


def test_a_truncated_answer_is_marked(tmp_path):
    shutil.copytree(RECORDED, tmp_path / "run")
    path = tmp_path / "run" / "predictions" / "model" / "mmlu_anatomy.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace('"stop_reason": "stop"', '"stop_reason": "max_tokens"'), encoding="utf-8")
    found = {(item.cluster, item.status) for item in Reviews("mmlu", "mmlu", tmp_path / "run").new()}
    assert found == {("anatomy", "truncated"), ("astronomy", "ok")}
