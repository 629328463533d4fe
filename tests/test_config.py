"""YAML with places, and how errors point at them."""

from __future__ import annotations

import pytest
from swift_testing.codes import coded

from swift_core import UsageError
from swift_core.options.settings import parse_yaml, read_yaml

TEXT = """model: a
tuner:
  name: lora
  rank: 8
dataset: [x, {name: y, z: 1}]
"""


def test_every_value_has_a_place():
    settings = parse_yaml(TEXT, "f.yaml")
    assert settings.where("tuner.rank") == "f.yaml:4: tuner.rank"
    assert settings.where("dataset.1.z") == "f.yaml:5: dataset.1.z"
    assert settings.where("tuner.alpha") == "f.yaml:2: tuner.alpha"  # the nearest parent
    assert settings.where("other") == "other"


def test_a_flag_wins_and_is_named_as_one():
    settings = parse_yaml(TEXT, "f.yaml")
    settings.set("tuner.rank", "16")
    assert settings.values["tuner"] == {"name": "lora", "rank": "16"}
    assert settings.where("tuner.rank") == "--tuner.rank"
    settings.set("tuner", "dora")
    assert settings.values["tuner"] == {"name": "dora", "rank": "16"}


def test_a_name_becomes_a_mapping_when_an_option_is_set():
    settings = parse_yaml("tuner: lora\n", "f.yaml")
    settings.set("tuner.rank", "4")
    assert settings.values["tuner"] == {"name": "lora", "rank": "4"}


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("a: 1\na: 2\n", "f.yaml:2", "'a' is a duplicate key"),
        ("a: [1\nb: 2\n", "f.yaml:2", "not valid YAML"),
        ("- 1\n", "f.yaml:1", "must be a mapping"),
        ("a: {b: 1, b: 2}\n", "f.yaml:1", "'a.b' is a duplicate key"),
        ("a: !!python/object:os.system x\n", "f.yaml:1", "not valid YAML"),
    ],
)
def test_what_is_wrong_has_file_and_line(text, where, message):
    with pytest.raises(UsageError, match=message) as caught:
        parse_yaml(text, "f.yaml")
    assert caught.value.where == where


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(UsageError, check=coded("OPTION-006")):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, check=coded("OPTION-007"), match="can't be read"):
        read_yaml(tmp_path / "b.yaml")


def test_an_empty_file_is_empty_settings():
    assert parse_yaml("# nothing\n", "f.yaml").values == {}
