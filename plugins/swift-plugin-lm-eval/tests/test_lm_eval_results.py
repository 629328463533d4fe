"""lm-eval's results, recorded from a real run of lm-eval 0.4.13 on a scripted model, as items and scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from swift_plugin_lm_eval.results import items, scores, settings

RECORDED = json.loads((Path(__file__).parent / "recorded" / "results.json").read_text(encoding="utf-8"))
SUBJECTS = ["mmlu_anatomy", "mmlu_astronomy"]


def asked(document):
    return f"Question: {document['question']}"


def read(task, leaf, status="ok", **more):
    samples, config = RECORDED["samples"][leaf], RECORDED["configs"][leaf]
    return list(items(task, leaf, samples, config, sample=0, status=lambda *_: status, text=asked, clustered=False, **more))


def test_each_filter_is_a_metric_and_each_document_an_item():
    first, second = read("gsm8k", "gsm8k")
    assert first.scores == {"exact_match,strict-match": 1.0, "exact_match,flexible-extract": 1.0}
    assert second.scores == {"exact_match,strict-match": 0.0, "exact_match,flexible-extract": 0.0}
    assert first.output == "The sum is 5.\n#### 5"
    assert first.expected.endswith("#### 5")
    assert first.id == RECORDED["samples"]["gsm8k"][0]["doc"]["id"]
    assert len(first.prompt) == 64


def test_the_means_of_the_items_are_lm_evals_own_numbers():
    for task, leaves in {"gsm8k": ["gsm8k"], "ifeval": ["ifeval"], "mmlu": SUBJECTS}.items():
        found = [item for leaf in leaves for item in read(task, leaf)]
        reported = scores(RECORDED, leaves, RECORDED["configs"])
        for metric in found[0].scores:
            assert sum(item.scores[metric] for item in found) / len(found) == pytest.approx(reported[metric])


def test_a_metric_that_is_no_mean_of_items_comes_from_lm_eval_alone():
    found = read("ifeval", "ifeval")
    assert set(found[0].scores) == {"prompt_level_strict_acc", "prompt_level_loose_acc"}
    assert "inst_level_strict_acc" in scores(RECORDED, ["ifeval"], RECORDED["configs"])


def test_choices_keep_their_log_likelihoods():
    item = read("mmlu", "mmlu_anatomy")[0]
    assert len(json.loads(item.output)) == 4
    assert item.expected == "ABCD"[RECORDED["samples"]["mmlu_anatomy"][0]["doc"]["answer"]]
    assert item.status == "ok"


def test_a_failed_request_has_no_scores():
    assert [(item.status, item.scores) for item in read("gsm8k", "gsm8k", "failed")] == [("failed", {}), ("failed", {})]
    assert read("gsm8k", "gsm8k", "truncated")[0].scores["exact_match,strict-match"] == 1.0


def test_documents_that_occur_twice_have_ids_of_their_own():
    samples = [{**each, "doc": {**each["doc"], "id": "same"}} for each in RECORDED["samples"]["gsm8k"]]
    found = items("gsm8k", "gsm8k", samples, RECORDED["configs"]["gsm8k"], sample=0, status=lambda *_: "ok", text=asked, clustered=True)
    assert [(item.id, item.cluster) for item in found] == [("same", "gsm8k"), ("same-2", "gsm8k")]


def test_the_question_is_that_of_the_document_or_what_the_template_gives():
    documents = {each["doc"]["id"]: each["doc"]["question"] for each in RECORDED["samples"]["gsm8k"]}
    assert {item.id: item.question for item in read("gsm8k", "gsm8k")} == documents
    assert read("ifeval", "ifeval")[0].question == "Write about cats without commas."
    (sample, *_), config = RECORDED["samples"]["gsm8k"], RECORDED["configs"]["gsm8k"]
    sample = {**sample, "doc": {"sentence": "A sentence."}}
    for text, question in (("Template: A sentence.", "Template: A sentence."), (1, "")):
        (found,) = items("own", "own", [sample], config, sample=0, status=lambda *_: "ok", text=lambda _, text=text: text, clustered=False)
        assert found.question == question


def test_what_decides_the_scores_is_recorded():
    found = settings(RECORDED, "gsm8k")
    assert (found["version"], found["few_shot"], found["filters"]) == (3.0, 0, ["strict-match", "flexible-extract"])
    assert "Question:" in found["template"]
