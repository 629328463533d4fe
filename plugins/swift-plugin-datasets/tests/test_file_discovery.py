"""A file, a folder, a pattern: which data files they stand for, and what is said where there is none."""

from __future__ import annotations

import pytest
import swift_plugin_datasets
from swift_plugin_datasets.compression import SUFFIXES
from swift_plugin_datasets.file import FileDataset
from swift_plugin_datasets.file_discovery import find_files
from swift_plugin_datasets.options import FileOptions
from swift_plugin_datasets.readers import READERS, read
from swift_testing.codes import coded

from swift_core.contract.errors import UsageError


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in (
        "data/b.jsonl",
        "data/a.csv",
        "data/deep/c.jsonl.gz",
        "data/.hidden.jsonl",
        "data/.git/d.jsonl",
        "data/README.txt",
        "data/LICENSE.txt",
        "data/licenses.txt",
        "data/dataset_info.json",
        "data/image.png",
        "other/x.png",
        "other/y.bin",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"a": 1}')
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("data/b.jsonl", ["data/b.jsonl"]),
        ("file:data/b.jsonl", ["data/b.jsonl"]),
        ("data", ["data/a.csv", "data/b.jsonl", "data/deep/c.jsonl.gz", "data/licenses.txt"]),
        ("data/*.jsonl", ["data/b.jsonl"]),
        ("data/**/*.jsonl*", ["data/b.jsonl", "data/deep/c.jsonl.gz"]),
        ("data/**", ["data/a.csv", "data/b.jsonl", "data/deep/c.jsonl.gz", "data/licenses.txt"]),
        ("data/[ab].*", ["data/a.csv", "data/b.jsonl"]),
        ("data/README.txt", ["data/README.txt"]),
    ],
)
def test_what_a_path_stands_for(tree, text, files):
    assert [str(path) for path in find_files(text)] == files


def test_a_file_with_a_pattern_for_its_name(tree, tmp_path):
    (tmp_path / "a[1].jsonl").write_text("{}")
    assert [path.name for path in find_files("a[1].jsonl")] == ["a[1].jsonl"]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("data/bb.jsonl", "no such file", "Did you mean 'b.jsonl'?"),
        ("dta/b.jsonl", "no such file", "Did you mean 'data'?"),
        ("other/z/b.jsonl", "no such file", "'other' contains: x.png, y.bin."),
        ("other", "has no data file", "x.png, y.bin. Data files end in .json, "),
        ("empty", "has no data file", "empty"),
        ("other/*", "no data file matches", "x.png, y.bin."),
        ("dta/*.jsonl", "no data file matches", "Did you mean 'data'?"),
        ("other/*.csv", "no data file matches", "'other' contains: x.png, y.bin."),
        ("empty/*.csv", "no data file matches", "Check the pattern"),
        ("~nobody-of-this-name/a.csv", "no such file", ""),
    ],
)
def test_what_is_said_where_there_is_none(tree, text, message, hint):
    with pytest.raises(UsageError, match=message) as caught:
        find_files(text)
    assert hint in caught.value.hint


def test_rows_of_several_files_keep_their_own_numbers(tmp_path):
    (tmp_path / "b.csv").write_text("a\n1\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    rows = list(FileDataset(FileOptions(path=str(tmp_path))).rows())
    assert [(row.file.rpartition("/")[2], row.number, row.folder) for row in rows] == [
        ("b.csv", 1, tmp_path),
        ("c.jsonl", 1, tmp_path / "deep"),
        ("c.jsonl", 2, tmp_path / "deep"),
    ]


def test_a_file_that_may_not_be_read(tmp_path):
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "a.jsonl")
    with pytest.raises(UsageError):
        list(FileDataset(FileOptions(path=str(tmp_path / "a.jsonl"))).rows())


def test_the_spec_has_the_suffixes_of_the_readers():
    spec = next(spec for spec in swift_plugin_datasets.swift_datasets() if spec.name == "file")
    assert set(spec.suffixes) == {*READERS, *SUFFIXES}


def test_folders_of_save_to_disk(tmp_path):
    datasets = pytest.importorskip("datasets")
    saved = datasets.Dataset.from_list([{"messages": [{"role": "user", "content": f"{n}"}]} for n in range(5)])
    saved.select([4, 2]).save_to_disk(tmp_path / "one", num_shards=2)
    (tmp_path / "one" / "cache-0123.arrow").write_bytes(b"of an earlier map")
    rows = [row.data for file in find_files(str(tmp_path / "one")) for row in read(file)]
    assert [row["messages"][0]["content"] for row in rows] == ["4", "2"]
    datasets.DatasetDict(train=saved, test=saved.select([0])).save_to_disk(tmp_path / "two")
    with pytest.raises(UsageError, check=coded("DATA-146")) as caught:
        find_files(str(tmp_path / "two"))
    assert str(tmp_path / "two" / "train") in caught.value.hint
    assert len(find_files(str(tmp_path / "two" / "train"))) == 1
