"""`swift eval --resume` and `swift eval compare`, as a user types them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from swift_evaluate.comparison import compare
from swift_testing.fake_engine import FakeEngine
from swift_testing.project import SwiftProject

from swift_core.contract import UsageError

ROOT = Path(__file__).parents[3]
SUMS = str(Path(__file__).parent / "sums_plugin.py")


def answer(text: str):
    """The right sum, unless the first number is `text`."""

    def say(messages):
        one, other = messages[-1]["content"].split("?")[0].removeprefix("What is ").split(" + ")
        return "wrong" if one in text else str(int(one) + int(other))

    return say


def words(engine, *more):
    return ("--plugin", SUMS, "eval", engine.url, "--evaluator", "sums", "--tasks", "one-digit", "--questions", "60", *more)


def folders(project):
    return sorted(project.folder.glob("runs/*"), key=lambda path: path.stat().st_mtime_ns)


def items(folder):
    return [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]


def test_a_killed_evaluation_is_resumed(swift_project):
    swift_project.env["SWIFT_BLOCK_PLUGINS"] = "transformers"

    def slow(messages):
        time.sleep(0.1)
        return answer("")(messages)

    with FakeEngine(slow) as engine:
        command = [sys.executable, "-m", "swift_core.cli", *words(engine, "--concurrency", "2")]
        running = subprocess.Popen(command, cwd=swift_project.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while sum("completions" in request["path"] for request in engine.seen) < 10:
            assert running.poll() is None, running.communicate()
            time.sleep(0.05)
        running.send_signal(signal.SIGKILL)
        running.communicate()
        (first,) = folders(swift_project)
        deadline = time.monotonic() + 30
        before = -1
        while before != len(engine.seen) and time.monotonic() < deadline:  # the worker ends by itself
            before = len(engine.seen)
            time.sleep(1)
        kept = {item["id"] for item in items(first)}
        assert 0 < len(kept) < 60
        engine.answers, engine.seen[:] = [answer("")], []
        outcome = swift_project.run(*words(engine, "--resume", str(first)))
        outcome.assert_success()
        assert len(engine.asked) == 60 - len(kept)
        second = folders(swift_project)[-1]
        assert sorted(int(item["id"]) for item in items(second)) == list(range(60))
        scores = json.loads((second / "scores.json").read_text())
        assert scores["scores"]["one-digit"]["accuracy"]["value"] == 1.0
        assert scores["evaluator"]["options"] == {"questions": 60}
        outcome = swift_project.run(*words(engine, "--resume", str(first), "--seed", "5"))
        outcome.assert_failure("seed: 0 → 5")
        assert outcome.code == 2


def test_an_evaluation_is_resumed_from_another_folder(swift_project, tmp_path):
    rows = "".join(json.dumps({"question": f"What is {number} + 1?", "answer": str(number + 1)}) + "\n" for number in range(4))
    swift_project.write({"sums.jsonl": rows})
    other = SwiftProject(tmp_path / "other")
    other.folder.mkdir()
    other.env |= {"SWIFT_BLOCK_PLUGINS": "transformers"}
    swift_project.env |= other.env
    with FakeEngine(answer("")) as engine:
        swift_project.run("eval", engine.url, "--evaluator", "own-data", "--tasks", "sums.jsonl").assert_success()
        (first,) = folders(swift_project)
        whole = items(first)
        (first / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in whole[:3]))
        engine.seen.clear()
        place = f"../{swift_project.folder.name}/sums.jsonl"
        words = ("eval", engine.url, "--evaluator", "own-data", "--tasks", place, "--resume", str(first))
        other.run(*words).assert_success()
        assert len(engine.asked) == 1
        (second,) = folders(other)
        assert {item["id"] for item in items(second)} == {item["id"] for item in whole}
        (other.folder / "sums.jsonl").write_text(rows.replace("0 + 1", "1 + 0"))
        other.run(*(word if word != place else "sums.jsonl" for word in words)).assert_failure("sums.jsonl")


def test_a_stopped_evaluation_says_how_it_is_resumed(swift_project):
    swift_project.env["SWIFT_BLOCK_PLUGINS"] = "transformers"
    with FakeEngine(lambda messages: time.sleep(0.3) or answer("")(messages)) as engine:
        command = [sys.executable, "-m", "swift_core.cli", *words(engine, "--concurrency", "1")]
        running = subprocess.Popen(command, cwd=swift_project.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while sum("completions" in request["path"] for request in engine.seen) < 4:
            assert running.poll() is None, running.communicate()
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate()
    (folder,) = folders(swift_project)
    assert running.returncode == 130
    assert f"--resume {folder.relative_to(swift_project.folder)}" in said


@pytest.fixture
def evaluated(swift_project):
    """Three evaluations: the baseline, one that gets what begins with 3, 4 or 5 wrong, and one with other questions."""
    swift_project.env["SWIFT_BLOCK_PLUGINS"] = "transformers"
    for wrong in ("", "345"):
        with FakeEngine(answer(wrong)) as engine:
            swift_project.run(*words(engine)).assert_success()
    return [str(path.relative_to(swift_project.folder)) for path in folders(swift_project)]


def test_evaluations_are_compared(swift_project, evaluated):
    good, bad = evaluated
    share = sum(not item["scores"]["accuracy"] for item in items(swift_project.folder / bad)) / 60
    assert share > 0.1
    outcome = swift_project.run("eval", "compare", good, bad, "--fail-if-worse-by", "0.02", "--json")
    assert outcome.code == 1
    result = json.loads(outcome.out)[0]["results"]["one-digit"]["accuracy"]
    assert (result["difference"], result["fixed"], result["broken"]) == (pytest.approx(-share), 0, round(share * 60))
    assert (result["verdict"], result["p"]) == ("worse", pytest.approx(2 * 0.5 ** round(share * 60)))
    assert result["interval"][1] < 0
    swift_project.run("eval", "compare", bad, good, "--fail-if-worse-by", "0.02").assert_success()
    same = swift_project.run("eval", "compare", good, f"{good}/scores.json", "--fail-if-worse-by", "0")
    same.assert_success()
    assert "within noise" in same.out


def test_settings_that_differ_are_named_one_by_one(tmp_path):
    item = {"task": "sums", "id": "1", "scores": {"accuracy": 1.0}}
    for name, shots, metrics in (("first", 0, ["exact"]), ("second", 0, ["exact", "f1"])):
        options = {"few_shot": shots, "metrics": metrics}
        record = {"evaluator": {"name": "own", "options": options}, "settings": {"limit": 0, "tasks": {}, "seed": 0}}
        (tmp_path / name).mkdir()
        (tmp_path / name / "items.jsonl").write_text(json.dumps(item) + "\n")
        (tmp_path / name / "scores.json").write_text(json.dumps(record))
    found = compare(tmp_path / "first", tmp_path / "second")
    for names in (["acuracy"], ["accuracy", "acuracy"]):
        with pytest.raises(UsageError, match=r"no metric 'acuracy'[\s\S]*Did you mean 'accuracy'"):
            compare(tmp_path / "first", tmp_path / "second", metrics=names)
    assert found.notes == ['evaluator.options.metrics differs: ["exact"] and ["exact", "f1"]']


def test_a_file_is_the_same_task_from_another_folder(tmp_path):
    for name, tasks in (("first", ["sums.jsonl"]), ("second", ["../sums.jsonl"]), ("third", ["a/sums.jsonl", "b/sums.jsonl"])):
        (tmp_path / name).mkdir()
        lines = [json.dumps({"task": task, "id": "1", "scores": {"accuracy": 1.0}}) for task in tasks]
        (tmp_path / name / "items.jsonl").write_text("\n".join(lines) + "\n")
    assert list(compare(tmp_path / "first", tmp_path / "second").results) == ["sums.jsonl"]
    with pytest.raises(UsageError, match="in common"):
        compare(tmp_path / "first", tmp_path / "third")


def test_unlike_questions_are_left_out(swift_project, evaluated):
    good, bad = (swift_project.folder / name for name in evaluated)
    changed = [{**item, "prompt": "other"} if int(item["id"]) < 20 else item for item in items(bad) if int(item["id"]) < 50]
    (bad / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in changed))
    outcome = swift_project.run("eval", "compare", str(good), str(bad), "--json")
    (found,) = json.loads(outcome.out)
    assert found["results"]["one-digit"]["accuracy"]["n"] == 30
    assert len(found["notes"]) == 2
    (bad / "items.jsonl").write_text("".join(json.dumps({**item, "task": "other"}) + "\n" for item in changed))
    swift_project.run("eval", "compare", str(good), str(bad)).assert_failure("in common")
    swift_project.run("eval", "compare", str(good), "runs").assert_failure("items.jsonl")


def test_ms_swifts_spellings_are_read(swift_project):
    swift_project.env["SWIFT_BLOCK_PLUGINS"] = "transformers"
    with FakeEngine(answer("")) as engine:
        outcome = swift_project.run(
            "--plugin", SUMS, "eval", "--eval_url", engine.url, "--eval_backend", "sums", "--eval_dataset", "one-digit", "two-digits",
            "--eval_limit", "3", "--eval_num_proc", "2", "--eval_generation_config", '{"max_tokens": 5, "do_sample": false}',
        )  # fmt: skip
        outcome.assert_success()
        bodies = [request["body"] for request in engine.seen if request["body"]]
    assert len(bodies) == 6
    assert {(body["max_tokens"], body["temperature"]) for body in bodies} == {(5, 0)}
    outcome = swift_project.run("eval", "--eval_backend", "OpenCompass", "--eval_url", "http://127.0.0.1:1/v1")
    outcome.assert_failure("OpenCompass")
