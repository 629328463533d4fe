"""Rows tokenised ahead of a training are those that it reads, and their tokens are found again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from swift_testing.codes import coded
from swift_train import tokenised_rows
from swift_train.flag_groups import combine
from swift_train.job import train
from swift_train.testing import ragged_chats, training_run, write_rows

from swift_core.api import resolved
from swift_core.contract.errors import UsageError
from swift_core.runs import Report


@pytest.fixture(scope="module")
def ahead(tiny_model, tmp_path_factory):
    """A run that tokenises 12 rows and holds out a quarter, and its output."""
    folder = tmp_path_factory.mktemp("ahead")
    rows = write_rows(folder / "rows.jsonl", ragged_chats(20))
    more = {"verb_options": {"tokenize_only": True, "output": str(folder / "cached")}, "validation_ratio": 0.25, "seed": 7}
    run = training_run(tiny_model, rows, **more)
    run = replace(run, datasets=tuple(replace(choice, limit=12) for choice in run.datasets))
    output, figures = train(run, Report(folder, speaks=False))
    assert (output, figures["rows"], figures["heldout_rows"]) == (None, 9, 3)
    assert not (folder / "checkpoints").exists()
    return run, folder / "cached"


def _options(words):
    found = {}
    for word in words:
        if word.startswith("--"):
            found[word[2:].replace("-", "_")] = values = []
        else:
            values.append(word)
    return found


def test_the_training_reads_the_very_rows(ahead, tiny_model):
    run, folder = ahead
    words = combine(["--cached_dataset", str(folder / "train"), "--cached_val_dataset", str(folder / "val"), "--max_steps", "1"])
    found = _options(words)
    made = resolved("sft", {"model": str(tiny_model), "dataset": found["dataset"], "device": "cpu", "plan": False})
    for ours, theirs in zip(made.datasets, run.datasets, strict=True):
        assert all(getattr(ours, name) == getattr(theirs, name) for name in ("factory", "version", "options", "limit", "columns"))
    assert (found["validation_ratio"], found["seed"], found["max_steps"]) == (["0.25"], ["7"], ["1"])
    assert "eval_strategy" not in found
    assert _options(combine(["--cached_dataset", str(folder / "train")]))["eval_strategy"] == ["no"]  # held out all the same


def test_what_is_refused(ahead, tmp_path):
    run, folder = ahead
    with pytest.raises(UsageError, check=coded("TRAIN-170")):
        combine(["--cached_dataset", str(tmp_path)])
    (tmp_path / "rows.json").write_text(json.dumps({"part": "train", "datasets": [], "validation_ratio": 0.5, "seed": 7}))
    with pytest.raises(UsageError, check=coded("TRAIN-169")):
        tokenised_rows.words([str(folder / "train"), str(tmp_path)], [])
    with pytest.raises(UsageError, match="exists"):
        train(run, Report(tmp_path, speaks=False))
