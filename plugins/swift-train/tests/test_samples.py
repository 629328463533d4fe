"""Rows become samples strictly: the first that can't be used ends the run, with its file and row."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from swift_data.choices import fetch_dataset
from swift_testing.codes import coded
from swift_train.data import load_samples
from swift_train.options import PretrainOptions, SftOptions
from swift_train.preprocessing import Preprocessing
from swift_train.tasks import PretrainTask, SftTask
from swift_train.testing import Recorder, ragged_chats, write_rows
from transformers import AutoTokenizer

from swift_core.contract.errors import SwiftError, UsageError
from swift_core.contract.run import DataChoice
from swift_core.plugins.registered import registry


@pytest.fixture
def load(tiny_model, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)

    def load(rows, task=None, *, truncation="error", most=512, limit=None, weight=1.0, kept=False, seed=0, **options):
        path = write_rows(tmp_path / "rows.jsonl", rows)
        choice = DataChoice(**asdict(registry().choose("dataset", "file", {"path": str(path)})), asked="rows", limit=limit, weight=weight)
        encoder = (task or SftTask(SftOptions())).encoder(tokenizer)
        load.report = Recorder(tmp_path)
        reading = Preprocessing(encoder=encoder, truncation=truncation, max_length=most, options=options)
        return load_samples([fetch_dataset(choice) if kept else choice], reading, load.report, seed=seed)

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
    with pytest.raises(UsageError, check=coded("TRAIN-079"), match=r"\d+ tokens, but max_length is 200") as caught:
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
    with pytest.raises(UsageError, check=coded("TRAIN-078")) as caught:
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


def test_held_out_rows_are_reproducible_and_not_trained_on(load):
    samples = load(ragged_chats(20))
    kept, held = samples.split(0.2, seed=1)
    again, _ = samples.split(0.2, seed=1)
    assert (len(kept), len(held)) == (16, 4)
    assert len(samples.split(3, seed=1)[1]) == 3
    with pytest.raises(UsageError, check=coded("TRAIN-160")):
        samples.split(len(samples), seed=1)
    assert kept.digest() == again.digest() != samples.split(0.2, seed=2)[0].digest()
    origins = [{part.origin(index) for index in range(len(part))} for part in (kept, held)]
    assert not origins[0] & origins[1]
    assert len(origins[0] | origins[1]) == 20


def test_a_conversation_is_split_into_pieces_that_learn(load):
    """A piece without anything to learn is left out; every supervised token of the rest is learned once."""
    rows = ragged_chats(1)
    rows[0]["messages"][0]["content"] *= 30
    whole = load(rows, most=10_000)[0]
    samples = load(rows, truncation="split", most=60)
    learned = [token for place in range(len(samples)) for token in samples[place].ids[samples[place].supervised].tolist()]
    assert learned == whole.ids[whole.supervised].tolist()
    assert 1 < len(samples) < len(whole.ids) / 59


def test_what_a_message_weighs_reaches_the_loss(load):
    rows = ragged_chats(1)
    rows[0]["messages"][1]["loss_scale"] = 0.5
    sample = load(rows)[0]
    assert set(sample.weights.tolist()) == {0.0, 0.5, 1.0}
    assert sample.supervised.sum() == (sample.weights > 0).sum()


@pytest.mark.parametrize(("weight", "count"), [(2.0, 20), (0.3, 3), (1.5, 15)])
def test_a_weight_says_how_often_rows_are_seen(load, weight, count):
    samples = load(ragged_chats(10), weight=weight)
    origins = [samples.origin(place) for place in range(len(samples))]
    assert len(origins) == count
    assert all(origins.count(origin) in (int(weight), int(weight) + 1) for origin in origins)
    assert samples.digest() == load(ragged_chats(10), weight=weight).digest()
    if weight != int(weight):
        assert samples.digest() != load(ragged_chats(10), weight=weight, seed=1).digest()


def bad_rows(count):
    rows = ragged_chats(20)
    for place in range(count):
        rows[3 + place] = {"messages": [{"role": "user", "content": "?"}]}
    return rows


def test_bad_rows_are_skipped_and_listed_where_the_user_says_so(load, tmp_path):
    samples = load(bad_rows(2), on_error="skip", max_skipped="10%")
    assert len(samples) == 18
    listed = [json.loads(line) for line in (tmp_path / "skipped_rows.jsonl").read_text().splitlines()]
    assert [line["row"] for line in listed] == [4, 5]
    assert "assistant" in listed[0]["message"] or "user" in listed[0]["message"]


def test_lines_that_are_no_json_are_skipped_too(load, tmp_path):
    path = tmp_path / "broken.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ragged_chats(3)) + "{oops\n")
    choice = DataChoice(**asdict(registry().choose("dataset", "file", {"path": str(path)})), asked="rows")
    encoder = SftTask(SftOptions()).encoder(load.tokenizer)
    reading = Preprocessing(encoder=encoder, truncation="error", max_length=512, options={"on_error": "skip", "max_skipped": "1"})
    assert len(load_samples([choice], reading, Recorder(tmp_path))) == 3
    assert json.loads((tmp_path / "skipped_rows.jsonl").read_text())["message"].startswith("not JSON")


@pytest.mark.parametrize(("most", "says"), [("9%", "2 of 20 rows are invalid, at most 9%"), ("1", "2 rows are invalid, at most 1 may be")])
def test_more_bad_rows_than_allowed_stop_the_run(load, most, says):
    with pytest.raises(UsageError, match=says) as caught:
        load(bad_rows(2), on_error="skip", max_skipped=most)
    assert "row 4" in caught.value.message


def test_not_a_single_good_row(load):
    with pytest.raises(UsageError, check=coded("DATA-019"), match="none of the 3 rows is valid"):
        load([{"messages": []}] * 3, on_error="skip", max_skipped="100%")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SWIFT_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokenised"


def test_tokenised_rows_are_kept_and_used_again(load, cache, tmp_path):
    rows = bad_rows(1)
    first = load(rows, kept=True, on_error="skip", max_skipped="10%")
    (tmp_path / "skipped_rows.jsonl").unlink()
    stamp = {path: path.stat().st_mtime_ns for path in cache.rglob("*.bin")}
    again = load(rows, kept=True, on_error="skip", max_skipped="10%")
    assert again.digest() == first.digest()
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.bin")} == stamp
    assert (tmp_path / "skipped_rows.jsonl").read_text().count("\n") == 1, "skipped rows are listed in this run's folder too"


def test_what_changes_the_outcome_makes_them_anew(load, cache):
    rows = ragged_chats(6)
    load(rows, kept=True)
    for count, changed in enumerate(
        [{"most": 500}, {"truncation": "right"}, {"limit": 3}, {"task": SftTask(SftOptions(mask={"end": "separator"}))}], 2
    ):
        load(rows, kept=True, **changed)
        assert len(list(cache.glob("*/meta.json"))) == count
    load.tokenizer.chat_template += "{# another #}"
    load(rows, kept=True)
    rows[0]["messages"][1]["content"] += "!"
    load(rows, kept=True)
    assert len(list(cache.glob("*/meta.json"))) == 7


def test_a_run_that_fails_keeps_nothing(load, cache):
    with pytest.raises(UsageError):
        load(bad_rows(1), kept=True)
    assert not list(cache.glob("*/meta.json"))
    assert not list(cache.glob("*.bin"))


def test_kept_rows_that_are_not_those_of_the_data_set_are_found_out(load, cache):
    load(ragged_chats(6), kept=True)
    (ids,) = cache.glob("*/ids.bin")
    ids.write_bytes(b"\7" + ids.read_bytes()[1:])
    with pytest.raises(SwiftError, check=coded("TRAIN-021")):
        load(ragged_chats(6), kept=True)
    assert len(load(ragged_chats(6), kept=True)) == 6


def test_a_text_that_is_surely_too_long_is_not_tokenised(load):
    rows = ragged_chats(1)
    rows[0]["messages"][1]["content"] = "why " * 1_000_000
    with pytest.raises(UsageError, check=coded("TRAIN-079"), match=r"at least \d+ tokens, but max_length is 512"):
        load(rows)


def test_a_system_prompt_for_rows_that_have_none(load):
    own = [{"role": "system", "content": "Be kind."}]
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
    samples = load([{"messages": turns}, {"messages": own + turns}], SftTask(SftOptions(system="Be brief.")))
    without, with_own = (load.tokenizer.decode(samples[number].ids) for number in range(2))
    assert "Be brief." in without
    assert "Be kind." in with_own
    assert "Be brief." not in with_own
