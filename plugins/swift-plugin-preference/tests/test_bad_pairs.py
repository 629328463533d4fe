"""Pairs that nothing can be learned from are refused with their row, or left out whole."""

from __future__ import annotations

import json

import pytest
from swift_train.testing import run_training, training_run, write_rows

from swift_core.contract.errors import UsageError

GOOD = [{"prompt": f"Which word is number {number}?", "chosen": "red.", "rejected": "No."} for number in range(4)]
BAD = {
    "equal": {"prompt": "Hi", "chosen": "Yes.", "rejected": "Yes."},
    "empty": {"prompt": "Hi", "chosen": "", "rejected": "Yes."},
    "blank": {"prompt": "Hi", "chosen": "Yes.", "rejected": " "},
    "absent": {"prompt": "Hi", "chosen": "Yes."},
    "long": {"prompt": "Hi", "chosen": "Yes.", "rejected": "no " * 400},
}
SETTINGS = {"max_steps": 1, "batch_size": 2, "max_length": 200}


@pytest.mark.parametrize("task", ["dpo", "rm"])
@pytest.mark.parametrize("name", BAD)
def test_a_bad_pair_is_refused_with_its_row(tiny_model, tmp_path, name, task):
    rows = write_rows(tmp_path / "rows.jsonl", [*GOOD[:2], BAD[name]])
    with pytest.raises(UsageError) as error:
        run_training(training_run(tiny_model, rows, task=task, **SETTINGS), tmp_path / "run")
    assert "row 3" in error.value.where
    assert error.value.code
    assert error.value.hint


def test_bad_pairs_are_skipped_whole_and_listed(tiny_model, tmp_path):
    """The chosen answer of a pair whose rejected one is too long is not trained on either."""
    rows = write_rows(tmp_path / "rows.jsonl", [*GOOD, *BAD.values()])
    more = {"verb_options": {"data": {"on_error": "skip", "max_skipped": "100%"}}}
    options = {**SETTINGS, "batch_size": 8, "shuffle": False}
    left = run_training(training_run(tiny_model, rows, task="dpo", **options, **more), tmp_path / "left")
    clean = run_training(training_run(tiny_model, write_rows(tmp_path / "good.jsonl", GOOD), task="dpo", **options), tmp_path / "clean")
    assert left[0]["loss"] == clean[0]["loss"]
    assert left[0]["grad_norm"] == clean[0]["grad_norm"]
    skipped = [json.loads(line)["row"] for line in (tmp_path / "left/skipped_rows.jsonl").read_text().splitlines()]
    assert skipped == [5, 6, 7, 8, 9]


def test_a_long_pair_is_dropped_whole(tiny_model, tmp_path):
    rows = write_rows(tmp_path / "rows.jsonl", [*GOOD, BAD["long"]])
    options = {**SETTINGS, "batch_size": 8, "shuffle": False, "truncation": "drop"}
    left = run_training(training_run(tiny_model, rows, task="dpo", **options), tmp_path / "left")
    clean = run_training(training_run(tiny_model, write_rows(tmp_path / "good.jsonl", GOOD), task="dpo", **options), tmp_path / "clean")
    assert left[0]["grad_norm"] == clean[0]["grad_norm"]
