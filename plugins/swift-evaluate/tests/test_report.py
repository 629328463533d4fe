"""The section of reports: every score is in a chart with its interval, and differing settings of two runs are marked."""

from __future__ import annotations

import json
import re

import pytest
from swift_evaluate.report import content
from swift_report import report
from swift_report.runs import opened

from swift_core.contract import Run
from swift_core.system import write_json, write_run

EVIL = "<script>alert(1)</script>"


def evaluated(folder, accuracy, *, seed=0, answers=()):
    write_run(Run(verb="eval", job=""), folder)
    items = [{"task": "gsm8k", "id": str(number), "status": "ok", "scores": {"accuracy": right}} for number, right in enumerate(answers)]
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    scores = {
        "gsm8k": {"accuracy": {"value": accuracy, "n": 40, "clusters": 40, "interval": [accuracy - 0.1, accuracy + 0.1]}},
        EVIL: {"perplexity": {"value": 12.5}},
    }
    counts = {"gsm8k": {"items": 40, "samples": 40, "failed": 2, "truncated": 0, "hash": "ab" * 32}}
    head = {"evaluator": {"name": "own-data", "version": "1"}, "settings": {"seed": seed, "few_shot": 5}, "warnings": [f"gsm8k: {EVIL}"]}
    write_json(folder / "scores.json", {**head, "scores": scores, "counts": counts})
    return folder


def test_scores_are_charts_with_intervals(tmp_path):
    page = report(evaluated(tmp_path / "run", 0.4)).read_text()
    assert EVIL not in page
    section = page[page.index('<section id="scores">') :].partition("</section>")[0]
    assert re.findall(r'aria-label="(.*?): ', section) == ["Scores", "perplexity"]
    cells = re.findall(r"<th scope=row>([^<]*)</th><td>([^<]*)</td><td>([^<]*)</td><td>([^<]*)</td>", section)
    assert cells[0] == ("gsm8k · accuracy", "0.4", "0.3", "0.5")
    assert cells[1][1:] == ("12.5", "12.5", "12.5")
    assert section.count('<line class="s0"') == 3, "a bar and two caps: the other interval is not known"


def test_two_runs_are_side_by_side_and_settings_that_differ_are_marked(tmp_path):
    folders = [evaluated(tmp_path / "a", 0.4, seed=1), evaluated(tmp_path / "b", 0.5, seed=2)]
    page = content([run for folder in folders for run in opened(folder)])
    assert re.findall(r"<th scope=row>([^<]*) <abbr", page) == ["seed"]
    assert "gsm8k · accuracy, a: 0.4; gsm8k · accuracy, b: 0.5" in page


def test_two_runs_are_compared_question_by_question(tmp_path):
    """Of 40 questions the second has 8 more right and none less: exact McNemar, p = 2 × 0.5^8."""
    first = evaluated(tmp_path / "a", 0.4, answers=[1.0] * 16 + [0.0] * 24)
    second = evaluated(tmp_path / "b", 0.6, answers=[1.0] * 24 + [0.0] * 16)
    page = content([*opened(first), *opened(second)])
    row = re.search(r"<h3>b compared with a.*?<tbody>(.*?)</tbody>", page)[1]
    name, before, after, difference, p, items, verdict = re.findall(r">([^<>]+)</t[hd]>", row)
    assert (name, before, after, items, verdict) == ("gsm8k · accuracy", "0.4", "0.6", "40", "better")
    assert difference.startswith("+0.2 (+0.")
    assert float(p) == pytest.approx(2 * 0.5**8, rel=0.01)


def test_runs_without_a_common_question_say_so(tmp_path):
    page = content([*opened(evaluated(tmp_path / "a", 0.4, answers=[1.0])), *opened(evaluated(tmp_path / "b", 0.4))])
    assert "no scored question in common" in page


@pytest.mark.parametrize("record", [{}, {"scores": {}}])
def test_a_run_without_scores_has_no_section(record, tmp_path):
    write_run(Run(verb="eval", job=""), tmp_path / "run")
    write_json(tmp_path / "run/scores.json", record)
    assert content(opened(tmp_path / "run")) == ""


def test_one_file_from_two_working_folders_is_one_row(tmp_path):
    for name, task in (("a", "rows/sums.jsonl"), ("b", "../rows/sums.jsonl")):
        folder = tmp_path / name
        write_run(Run(verb="eval", job=""), folder)
        (folder / "items.jsonl").write_text("")
        record = {"evaluator": {"name": "own-data"}, "settings": {"tasks": {task: {"few_shot": 1}}}, "counts": {task: {"items": 4}}}
        write_json(folder / "scores.json", {**record, "scores": {task: {"exact": {"value": 0.5}}}})
    page = content([*opened(tmp_path / "a"), *opened(tmp_path / "b")])
    assert "rows/" not in page
    assert re.findall(r"<th scope=row>([^<]*)</th>", page).count("sums.jsonl · few shot") == 1
