"""Rows become samples strictly: the first that can't be used ends the run, with its file and row."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from swift_train.data import read
from swift_train.options import PretrainOptions, SftOptions
from swift_train.tasks import PretrainTask, SftTask
from swift_train.testing import Recorder, ragged_chats, write_rows
from transformers import AutoTokenizer

from swift_core.errors import UsageError
from swift_core.registry import registry
from swift_core.run import DataChoice


@pytest.fixture
def load(tiny_model, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)

    def load(rows, task=None, truncation="error", most=512, limit=None):
        path = write_rows(tmp_path / "rows.jsonl", rows)
        choice = DataChoice(**asdict(registry().choose("dataset", "file", {"path": str(path)})), asked="rows", limit=limit)
        return read((choice,), (task or SftTask(SftOptions())).encoder(tokenizer), truncation, most, Recorder(tmp_path))

    load.tokenizer = tokenizer
    return load


def test_samples_are_the_rows(load):
    rows = ragged_chats(5)
    samples = load(rows)
    assert len(samples) == 5
    for index, row in enumerate(rows):
        sample = samples[index]
        assert sample.ids.tolist() == load.tokenizer.apply_chat_template(row["messages"])["input_ids"]
        assert sample.ids.dtype == np.int32
        assert sample.origin.endswith(f"rows.jsonl, row {index + 1}")
        assert (samples.lengths[index], samples.supervised[index]) == (len(sample.ids), sample.supervised.sum())


def test_a_limit_takes_the_first_rows(load):
    assert len(load(ragged_chats(5), limit=2)) == 2


def test_the_first_bad_row_ends_it(load):
    with pytest.raises(UsageError) as caught:
        load([*ragged_chats(2), {"messages": [{"role": "user", "content": "?"}]}, {"nonsense": 1}])
    assert "rows.jsonl, row 3" in caught.value.where


def test_too_long_says_which_row_and_what_to_do(load):
    rows = ragged_chats(3)
    rows[1]["messages"][1]["content"] *= 20
    with pytest.raises(UsageError, match=r"\d+ tokens, but max_length is 200") as caught:
        load(rows, most=200)
    assert caught.value.where.endswith("rows.jsonl, row 2")
    assert "--truncation right" in caught.value.hint


def test_truncation(load):
    rows = ragged_chats(3)
    rows[1]["messages"][1]["content"] *= 20
    whole = load(rows, most=10_000)[1]
    assert load(rows, truncation="right", most=200)[1].ids.tolist() == whole.ids[:200].tolist()
    left = load(rows, truncation="left", most=200)[1]
    assert left.ids.tolist() == whole.ids[-200:].tolist()
    assert not left.supervised[0]  # nothing comes before it
    assert left.supervised[1:].tolist() == whole.supervised[-199:].tolist()
    assert len(load(rows, truncation="drop", most=200)) == 2


def test_a_row_cut_to_nothing_supervised_is_an_error(load):
    with pytest.raises(UsageError, match="nothing in this row is supervised") as caught:
        load(ragged_chats(1), truncation="right", most=10)
    assert caught.value.where.endswith("row 1")


def test_texts_are_split_so_that_each_token_is_learned_once(load):
    task = PretrainTask(PretrainOptions())
    text = "The capital of France is Paris. " * 20
    samples = load([{"text": text}], task, truncation="split", most=50)
    ids = [*load.tokenizer(text)["input_ids"], load.tokenizer.eos_token_id]
    learned = [token for sample in map(samples.__getitem__, range(len(samples))) for token in sample.ids[sample.supervised].tolist()]
    assert learned == ids[1:]
    assert max(samples.lengths) == 50


def test_held_out_rows_are_always_the_same_and_apart(load):
    samples = load(ragged_chats(20))
    kept, held = samples.part(0.2, seed=1)
    again, _ = samples.part(0.2, seed=1)
    assert (len(kept), len(held)) == (16, 4)
    assert kept.digest() == again.digest() != samples.part(0.2, seed=2)[0].digest()
    origins = [{part.origin(index) for index in range(len(part))} for part in (kept, held)]
    assert not origins[0] & origins[1]
    assert len(origins[0] | origins[1]) == 20
