"""What `dataset:` may say, which data set that is, and what is wrong with the rest."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest
from swift_data.choices import choose_dataset, fetch_dataset
from swift_testing.codes import coded

from swift_core.contract.errors import UsageError
from swift_core.contract.run import DataChoice, Run
from swift_core.options.model import Invalid
from swift_core.plugins.registered import registry


def choose(asked, **options) -> DataChoice:
    return choose_dataset(registry(), asked, options, "--dataset")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text('{"text": "One."}\n{"text": "Two."}\n')
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a#1.jsonl").write_text('{"text": "Three."}\n')
    return tmp_path


@pytest.mark.parametrize(
    ("asked", "name", "options", "limit"),
    [
        ("rows.jsonl", "file", {"path": "rows.jsonl"}, None),
        ("rows.jsonl#1", "file", {"path": "rows.jsonl"}, 1),
        ("file:rows.jsonl", "file", {"path": "file:rows.jsonl"}, None),
        ("data/a#1.jsonl", "file", {"path": "data/a#1.jsonl"}, None),
        ("data", "file", {"path": "data"}, None),
        ("./none", "file", {"path": "./none"}, None),
        ("data/*.jsonl#3", "file", {"path": "data/*.jsonl"}, 3),
        ("absent.jsonl.zst", "file", {"path": "absent.jsonl.zst"}, None),
        ("absent.csv.bz2", "file", {"path": "absent.csv.bz2"}, None),
        ("alpaca_en_demo#20", "alpaca-en-demo", {}, 20),
        ("org/set", "hub", {"path": "org/set", "subset": ""}, None),
        ("org/set:sub#5", "hub", {"path": "org/set", "subset": "sub"}, 5),
        ("hf:org/set:sub", "hub", {"path": "hf:org/set", "subset": "sub"}, None),
        ("hf:org/set@v1.0:sub", "hub", {"path": "hf:org/set@v1.0", "subset": "sub"}, None),
        ("hf:org/set.json", "hub", {"path": "hf:org/set.json", "subset": ""}, None),
        ("hf:set", "hub", {"path": "hf:set"}, None),
        ({"name": "org/set:sub", "split": "test"}, "hub", {"subset": "sub", "split": "test"}, None),
        ({"name": "identity#9", "model-name": "Kit", "model_author": "Ada"}, "identity", {"model_name": "Kit"}, 9),
        ('{"name": "rows.jsonl#1"}', "file", {"path": "rows.jsonl"}, 1),
    ],
)
def test_names(asked, name, options, limit):
    choice = choose(asked)
    assert (choice.name, choice.limit) == (name, limit)
    assert options.items() <= choice.options.items()


def test_an_option_that_lacks_is_called_by_its_flag():
    """Where one gives the name alone; an object, and a file, has it as a key."""
    for asked, where, called in (
        ("identity#3", "--dataset", "--dataset.identity.model-name"),
        ('{"name": "identity"}', "--dataset", "--dataset identity, model_name"),
        ({"name": "identity"}, "a.yaml:3: dataset.0", "a.yaml:3: dataset.0.model_name"),
    ):
        with pytest.raises(Invalid) as caught:
            choose_dataset(registry(), asked, {}, where)
        assert caught.value.problems[0][0] == called


def test_an_existing_path_wins_over_a_named_set(here):
    (here / "c4-demo").mkdir()
    assert choose("c4-demo").name == "file"


def test_weight_and_columns_of_a_mapping_and_of_json():
    asked = {"name": "rows.jsonl", "weight": 2, "columns": {"my-text": "text"}}
    for way in (asked, json.dumps(asked)):
        choice = choose(way)
        assert (choice.weight, choice.columns, choice.asked) == (2.0, {"my-text": "text"}, "rows.jsonl")
    run = Run(verb="sft", job="a:b", datasets=(choice,))
    assert Run.from_json(json.loads(json.dumps(run.to_json()))) == run
    assert (choose("rows.jsonl").weight, choose("rows.jsonl").columns) == (1.0, {})


@pytest.mark.parametrize(
    ("asked", "where", "message", "hint"),
    [
        ("", "--dataset", "has no name", "Write a name"),
        (5, "--dataset", "has no name", "Write a name"),
        ({"weight": 2}, "--dataset", "has no name", "Write a name"),
        ("#5", "--dataset", "has no name", "NAME#500"),
        ("rows.jsonl#0", "--dataset", "'#0' is not a number of rows", "rows.jsonl#500"),
        ("rows.jsonl#ten", "--dataset", "'#ten' is not a number", "rows.jsonl#500"),
        ("rows.jsonl#²", "--dataset", "is not a number", "rows.jsonl#500"),
        ("rows.jsonl#", "--dataset", "'#' is not a number", "rows.jsonl#500"),
        ("rows.jsonl:sub", "--dataset", "files have no subsets", "Write rows.jsonl."),
        ("data:sub", "--dataset", "files have no subsets", "hf:org/name:subset"),
        ("c4-demo:sub", "--dataset", "'c4-demo' has no subsets", "Write c4-demo."),
        ("alpaca-en-dmo", "--dataset", "there is no dataset or file", "Did you mean 'alpaca-en-demo'?"),
        ("dta", "--dataset", "there is no dataset or file", "Did you mean 'data'?"),
        ("hf:a:b:c", "--dataset", "there is no dataset or file", ""),
        ('{"name": "rows.jsonl"', "--dataset", "not JSON", '{"name": "rows.jsonl", "weight": 0.5}'),
        ({"name": "org/set:a", "subset": "b"}, "--dataset.subset", "given twice: 'a' in the name, and 'b'", "Keep one"),
        ({"name": "rows.jsonl", "path": "x"}, "--dataset.path", "given twice", "Keep one"),
        *(
            ({"name": "rows.jsonl", "weight": bad}, "--dataset.weight", "must be a number > 0", "twice per epoch")
            for bad in (0, -1, float("nan"), float("inf"), True, "2", None)
        ),
        *(
            ({"name": "rows.jsonl", "columns": bad}, "--dataset.columns", "must map field names to field names", "{question: query}")
            for bad in (["a"], {"a": 1}, {"a": ""}, {1: "a"}, "a")
        ),
    ],
)
def test_what_is_wrong(asked, where, message, hint):
    with pytest.raises(UsageError) as caught:
        choose(asked)
    assert caught.value.where == where
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_unknown_keys_are_the_options_of_the_set():
    with pytest.raises(UsageError, check=coded("OPTION-005"), match="wieght: there is no such option"):
        choose({"name": "rows.jsonl", "wieght": 2})


def test_options_from_flags_reach_the_set_by_either_spelling():
    assert choose("identity", identity={"model_name": "Kit", "model_author": "Ada"}).options["model_name"] == "Kit"


def test_the_hash_is_over_names_contents_and_order(here):
    def hashed(asked: str) -> str:
        return fetch_dataset(choose(asked)).hash

    first = hashed("data")
    assert len(first) == 64
    (here / "data" / "b.jsonl").write_text('{"text": "Four."}\n')
    second = hashed("data")
    (here / "data" / "b.jsonl").write_text('{"text": "Five."}\n')
    third = hashed("data")
    (here / "data" / "b.jsonl").rename(here / "data" / "c.jsonl")
    assert len({first, second, third, hashed("data")}) == 4
    Path("data").rename("moved")
    assert hashed("moved") == hashed("moved/*.jsonl")


def test_a_file_that_is_not_there_is_found_out_before_any_work():
    with pytest.raises(UsageError, check=coded("DATA-123")):
        fetch_dataset(choose("./none.jsonl"))


def test_on_the_command_line(swift):
    ended = swift("sft", "--model", "none", "--dataset", '{"name": "rows.jsonl", "weight": -1}')
    assert ended.code == 2
    assert "--dataset" in ended.err
    assert "SWIFT-DATA-005" in ended.err
    assert "> 0" in ended.err
    assert "-1" in ended.err


@pytest.mark.parametrize(
    ("name", "hub", "path"),
    [
        ("org/set", "", "org/set"),
        ("org/set", "ms", "ms:org/set"),
        ("hf:org/set", "ms", "hf:org/set"),
        ("AI-ModelScope/alpaca-gpt4-data-zh#5", "", "ms:AI-ModelScope/alpaca-gpt4-data-zh"),
        ("AI-ModelScope/alpaca-gpt4-data-zh", "hf", "hf:llm-wizard/alpaca-gpt4-data-zh"),
        ("llm-wizard/alpaca-gpt4-data-zh", "", "hf:llm-wizard/alpaca-gpt4-data-zh"),
        ("llm-wizard/alpaca-gpt4-data-zh", "ms", "ms:AI-ModelScope/alpaca-gpt4-data-zh"),
        ("hf:AI-ModelScope/alpaca-gpt4-data-zh", "", "hf:AI-ModelScope/alpaca-gpt4-data-zh"),
        ("DAMO_NLP/jd:cls#5", "", "ms:DAMO_NLP/jd"),
        ("AI-MO/NuminaMath-TIR", "", "AI-MO/NuminaMath-TIR"),
        ("AI-MO/NuminaMath-TIR", "ms", "ms:AI-MO/NuminaMath-TIR"),
        ({"name": "hub", "path": "iic/set"}, "", "ms:iic/set"),
    ],
)
def test_the_hub_of_a_bare_name(name, hub, path):
    assert choose_dataset(registry(), name, {}, "dataset", hub=hub).options["path"] == path


def test_a_name_of_another_tool_is_ours():
    options = {"identity": {"model_name": "a", "model_author": "b"}}
    assert choose_dataset(registry(), "swift/self-cognition#5", options, "dataset", hub="ms").name == "identity"


def test_a_name_of_one_hub_is_not_asked_of_another():
    with pytest.raises(UsageError, check=coded("DATA-164"), match="ms: alone"):
        choose_dataset(registry(), "DAMO_NLP/jd:cls", {}, "dataset", hub="hf")


def test_the_ids_of_datasets():
    """Of the hubs that there are, and each an owner and a name."""
    entries = json.loads(resources.files("swift_data").joinpath("dataset_ids.json").read_text())
    assert len(entries) > 190
    assert {scheme for entry in entries for scheme in entry} == {"ms", "hf"}
    assert all(name.count("/") < 2 for entry in entries for name in entry.values())
