"""`--callback NAME:OPTION=VALUE`: callbacks are parts of a run, checked before it starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from swift_core.contract import Settings
from swift_core.contract.errors import UsageError
from swift_core.plugins.verb_names import verb_named
from swift_core.runs.resolution import resolve

ROOT = Path(__file__).parent.parent
ROWS = '{"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]}\n'


@pytest.fixture
def resolved(tiny_model, tmp_path):
    (tmp_path / "rows.jsonl").write_text(ROWS)

    def run(*callbacks, **others):
        path = str(tmp_path / "rows.jsonl")
        data = {"model": str(tiny_model), "dataset": [path], "val_dataset": [path], "eval_steps": 2}
        values = {**data, "callbacks": list(callbacks), **others}
        return resolve(verb_named("sft"), Settings(values)).run

    return run


@pytest.mark.parametrize("asked", ["early-stopping:patience=2", {"name": "early-stopping", "patience": 2}])
def test_a_callback_is_a_part_of_the_run(asked, resolved):
    choice = resolved(asked).part("callback.early-stopping")
    assert choice.options == {"patience": 2, "threshold": 0.0}
    assert choice.distribution == "swift-train"


@pytest.mark.parametrize(
    ("asked", "where", "message"),
    [
        (["early-stoping"], "callbacks", "Did you mean 'early-stopping'?"),
        (["early-stopping:patience=0"], "callbacks.patience", "greater than or equal to 1"),
        (["early-stopping:patient=2"], "callbacks.patient", "patience"),
        (["early-stopping:2"], "callbacks", "early-stopping:patience=2"),
        ([{"patience": 2}], "callbacks", "is not a callback"),
        (["early-stopping", "early-stopping:patience=2"], "callbacks", "named twice"),
    ],
)
def test_a_mistake_is_named(asked, where, message, resolved):
    with pytest.raises(UsageError) as refused:
        resolved(*asked)
    assert where in str(refused.value)
    assert message in str(refused.value)


@pytest.mark.parametrize(("others", "hint"), [({"val_dataset": []}, "--val-dataset"), ({"eval_steps": None}, "--eval-steps")])
def test_early_stopping_without_evaluations_is_refused(others, hint, resolved):
    with pytest.raises(UsageError) as refused:
        resolved("early-stopping", **others)
    assert hint in str(refused.value)


@pytest.mark.slow
def test_the_example_of_the_docs_runs(swift, tiny_model):
    (swift.folder / "rows.jsonl").write_text(ROWS * 4)
    example = ROOT / "docs" / "examples" / "step_timer.py"
    words = ("sft", "--model", str(tiny_model), "--dataset", "rows.jsonl", "--device", "cpu", "--max-steps", "3", "--batch-size", "1")
    done = swift("--plugin", str(example), *words, "--callback", "step-timer", "--json")
    assert done.code == 0, done.err
    assert "ended_by" not in json.loads(done.out)["figures"]
    (metrics,) = swift.folder.glob("runs/*/metrics.jsonl")
    assert [line["step"] for line in map(json.loads, metrics.read_text().splitlines()) if "step_seconds" in line] == [1, 2, 3]
    ended = json.loads(swift("--plugin", str(example), *words, "--callback", "step-timer:limit=0.000001", "--json").out)
    assert ended["status"] == "done"
    assert (ended["figures"]["steps"], ended["figures"]["ended_by"]) == (1, "step-timer: the limit of 1e-06 s is reached")
