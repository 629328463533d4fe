"""Inspect's logs, recorded from a real run of Inspect 0.3.285, as items and scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from swift_plugin_inspect.results import item, scores


def recorded(name):
    return json.loads((Path(__file__).parent / "recorded" / f"{name}.json").read_text(encoding="utf-8"))


def number(value):
    return {"C": 1.0, "I": 0.0, "P": 0.5}[value]


def test_the_mean_of_the_items_is_inspects_own_number():
    log = recorded("gsm8k")
    found = [item("gsm8k", sample, number) for sample in log["samples"]]
    assert len(found) == 3
    assert sum(each.scores["match"] for each in found) / 3 == pytest.approx(scores(log["results"])["match"])
    assert {each.status for each in found} == {"ok"}
    assert sorted(each.expected for each in found) == ["13", "5", "9"]
    assert len({each.prompt for each in found}) == 3


def test_subjects_are_clusters():
    for sample in recorded("mmlu")["samples"]:
        assert item("mmlu", sample, number).cluster == sample["input"].partition(" ")[0]  # "anatomy question 0?"


def test_the_question_has_no_examples():
    sample = recorded("gsm8k")["samples"][0]
    assert item("gsm8k", sample, number).question == sample["input"]
    assert item("gsm8k", {**sample, "metadata": {"question": "What is 1?"}}, number).question == "What is 1?"
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "What is 2?"}]}]
    assert item("own", {**sample, "metadata": {}, "input": messages}, number).question == "What is 2?"


def test_errors_truncation_and_several_values():
    sample = recorded("mmlu")["samples"][0]
    failed = item("mmlu", {**sample, "scores": None, "error": {"message": "no answer"}}, number)
    assert (failed.status, failed.scores, failed.output) == ("failed", {}, "no answer")
    choice = {**sample["output"]["choices"][0], "stop_reason": "max_tokens"}
    assert item("mmlu", {**sample, "output": {**sample["output"], "choices": [choice]}}, number).status == "truncated"
    several = {"judge": {"value": {"style": "C", "facts": "P"}}}
    assert item("own", {**sample, "scores": several, "epoch": 2}, number).scores == {"judge.style": 1.0, "judge.facts": 0.5}
    assert item("own", {**sample, "epoch": 2}, number).sample == 1
