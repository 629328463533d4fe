"""`swift eval`: a server or a checkpoint, an evaluator of a local file, and its scores in the run folder and on the screen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from swift_testing.fake_engine import FakeEngine

ROOT = Path(__file__).parents[3]
SUMS = str(Path(__file__).parent / "sums_plugin.py")
OTHERS = """
import json
from swift_core import hookimpl
from swift_core.contract import EvaluatorSpec, Ref
from swift_evaluate.roles import Item, Scores

class Inline:
    def __init__(self, options): pass
    def evaluate(self, checkpoint, asked):
        (asked.folder / "seen.json").write_text(json.dumps([str(checkpoint), list(asked.tasks)]))
        return Scores(values={"size": {"files": float(len(list(checkpoint.iterdir())))}})

class Silent(Inline):
    def evaluate(self, server, asked):
        if "unanswered" in asked.tasks:
            asked.record(Item(task="unanswered", id="1", status="failed", output="out of order"))
        return Scores()

@hookimpl
def swift_evaluators():
    return [EvaluatorSpec(name="inline", summary="Inline", factory=Ref("others:Inline"), over="inline"),
            EvaluatorSpec(name="silent", summary="Silent", factory=Ref("others:Silent"))]
"""


@pytest.fixture
def engine():
    with FakeEngine("The answer is 4.", models=("base", "tuned")) as fake:
        yield fake


@pytest.fixture
def others(swift_project):
    swift_project.write({"others.py": OTHERS})
    return ("--plugin", "others.py", "eval")


def results(project):
    (folder,) = project.folder.glob("runs/*")
    return folder, json.loads((folder / "scores.json").read_text()), json.loads((folder / "result.json").read_text())


def test_a_server_is_evaluated_and_the_scores_are_recorded_and_shown(swift_project, engine):
    swift_project.env["SWIFT_BLOCK_PLUGINS"] = "transformers"  # a running server needs no engine here
    words = ("--plugin", SUMS, "eval", "--url", engine.url, "--name", "tuned", "--evaluator", "sums", "--tasks", "one-digit")
    outcome = swift_project.run(*words, "--questions", "50")
    outcome.assert_success()
    folder, scores, result = results(swift_project)
    items = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    accuracy = sum(item["expected"] == "4" for item in items) / 50
    assert 0 < accuracy < 1
    assert {item["output"] for item in items} == {"The answer is 4."}
    assert {request["body"]["model"] for request in engine.seen if request["body"]} == {"tuned"}
    error = pytest.approx((accuracy * (1 - accuracy) / 49) ** 0.5)
    (score,) = scores["scores"]["one-digit"].values()
    assert (score["value"], score["standard_error"], score["n"]) == (accuracy, error, 50)
    assert score["interval"][0] < accuracy < score["interval"][1]
    assert result["figures"] == {"one-digit.accuracy": accuracy, "one-digit.accuracy.standard_error": error}
    table = [line.split() for line in outcome.out.splitlines()]
    assert table[0] == ["task", "metric", "score", "95%", "interval", "items"]
    assert table[1][:3] == ["one-digit", "accuracy", f"{accuracy:.4g}"]
    assert list(json.loads((folder / "run.json").read_text())["parts"]) == ["evaluator"]


@pytest.mark.slow
def test_a_checkpoint_is_served_while_it_is_evaluated(swift_project, tiny_model):
    words = ("--plugin", SUMS, "eval", str(tiny_model), "--evaluator", "sums", "--questions", "2", "--parity", "warn")
    outcome = swift_project.run(*words, "--json")
    outcome.assert_success()
    folder, scores, _ = results(swift_project)
    assert set(scores["scores"]) == {"one-digit", "two-digits"}  # the evaluator's own tasks, since none is named
    assert set(outcome.json()["figures"]) > {"one-digit.accuracy", "two-digits.accuracy"}
    served = json.loads((folder / "server" / "result.json").read_text())
    assert served["status"] == "done"
    assert served["figures"]["served_seconds"] >= 0


def test_an_inline_evaluator_gets_the_checkpoint_and_nothing_is_served(swift_project, others, tiny_model):
    swift_project.env["SWIFT_BLOCK_PLUGINS"] = "transformers"
    outcome = swift_project.run(*others, str(tiny_model), "--evaluator", "inline")
    outcome.assert_success()
    folder, scores, _ = results(swift_project)
    assert json.loads((folder / "evaluator" / "seen.json").read_text()) == [str(tiny_model), []]
    assert "interval" not in outcome.out
    assert scores["scores"] == {"size": {"files": {"value": float(len(list(tiny_model.iterdir())))}}}
    assert not (folder / "server").exists()
    outcome = swift_project.run(*others, "--url", "http://127.0.0.1:1/v1", "--evaluator", "inline", "--dry-run")
    outcome.assert_failure("--url")
    assert "no model given" not in outcome.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), (2, "no evaluator selected")),
        (("--evaluator", "sums"), (2, "no model and no --url given")),
        (("--evaluator", "sums", "--url", "URL", "--tasks", "roots"), (2, "there is no task 'roots'")),
        (("--evaluator", "sums", "--url", "http://127.0.0.1:1/v1"), (1, "127.0.0.1:1")),
        (("--evaluator", "silent", "--url", "URL"), (1, "gave no scores for any task")),
        (("--evaluator", "silent", "--url", "URL", "--tasks", "a"), (1, "gave no scores for a")),
        (("--evaluator", "silent", "--url", "URL", "--tasks", "unanswered"), (1, "none of the 1 questions was answered")),
        (("--evaluator", "smus", "--url", "URL"), (2, "Did you mean 'sums'?")),
    ],
)
def test_mistakes_are_named(swift_project, others, engine, words, expected):
    code, problem = expected
    outcome = swift_project.run("--plugin", SUMS, *others, *(engine.url if word == "URL" else word for word in words))
    outcome.assert_failure(problem)
    assert outcome.code == code
