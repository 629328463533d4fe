"""Files of rows: every format, and everything that can be wrong with one."""

from __future__ import annotations

import gzip
import itertools
import json
import sys
import tracemalloc
from pathlib import Path

import pytest
from swift_plugin_datasets.file import FileDataset
from swift_plugin_datasets.options import FileOptions

from swift_core.errors import UsageError

ROWS = [{"text": "one, two"}, {"text": 'häßlich\n"quoted"'}, {"text": "三"}]


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def read(name, contents):
        Path(name).write_bytes(contents if isinstance(contents, bytes) else contents.encode())
        return list(FileDataset(FileOptions(path=name)).rows())

    return read


@pytest.fixture
def refused(read):
    def refused(name, contents) -> UsageError:
        with pytest.raises(UsageError) as caught:
            read(name, contents)
        return caught.value

    return refused


LINES = "\n".join(json.dumps(row) for row in ROWS)
TABLE = 'text\n"one, two"\n"häßlich\n""quoted"""\n三\n'


@pytest.mark.parametrize(
    ("name", "contents"),
    [
        ("a.jsonl", LINES),
        ("a.ndjson", LINES + "\n\n"),
        ("a.json", LINES),
        ("a.json", json.dumps(ROWS, indent=2)),
        ("a.jsonl", "\n \n" + json.dumps(ROWS)),
        ("A.JSONL", LINES.replace("\n", "\r\n")),
        ("a.jsonl", b"\xef\xbb\xbf" + LINES.encode()),
        ("a.json", b"\xef\xbb\xbf" + json.dumps(ROWS).encode()),
        ("a.csv", TABLE),
        ("a.csv", b"\xef\xbb\xbf" + TABLE.replace("\n", "\r\n").encode()),
        ("a.tsv", TABLE.replace('"one, two"', "one, two")),
        ("a.jsonl.gz", gzip.compress(LINES.encode())),
        ("a.csv.gz", gzip.compress(TABLE.encode())),
    ],
)
def test_formats(read, name, contents):
    assert [row.data for row in read(name, contents)] == ROWS


def test_text_has_a_row_a_line(read):
    rows = read("a.txt", "one\r\n\n  two\n")
    assert [(row.number, row.data) for row in rows] == [(1, {"text": "one"}), (3, {"text": "  two"})]


def test_parquet(read, tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{"messages": [{"role": "user", "content": str(number)}]} for number in range(600)]
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "b.parquet")
    contents = (tmp_path / "b.parquet").read_bytes()
    found = read("a.parquet", contents)
    assert [row.data for row in found] == rows
    assert found[-1].number == 600


def test_parquet_damaged_or_without_its_library(refused, monkeypatch):
    pytest.importorskip("pyarrow")
    assert "not a parquet file" in refused("a.parquet", "nothing").message
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "swift-plugin-datasets[parquet]" in refused("a.parquet", "nothing").hint


def test_rows_know_file_and_line(read):
    rows = read("a.jsonl", '{"a": 1}\n\n{"a": 2}\n')
    assert [row.number for row in rows] == [1, 3]
    assert rows[0].file.endswith("a.jsonl")


def test_lines_are_a_stream(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text((json.dumps({"text": "x" * 1000}) + "\n") * 20_000 + "not JSON")
    tracemalloc.start()
    rows = list(itertools.islice(FileDataset(FileOptions(path=str(path))).rows(), 5))
    assert len(rows) == 5
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    "row",
    [
        ("a.jsonl", '{"a": 1}\n' * 6 + '{"a": oops' + "s" * 200, "a.jsonl, row 7", "not JSON", "…'"),
        ("a.json", '{\n  "a": 1\n}', "a.json, row 1", "not JSON", "one object a line"),
        ("a.json", '[{"a": 1},\n{"a" 2}]', "a.json, line 2", "not a JSON array", "Near: "),
        ("a.jsonl", "[" * 100_000, "a.jsonl", "nested too deeply", ""),
        ("a.jsonl", "", "a.jsonl", "an empty file", "the right file"),
        ("a.json", "[]", "a.json", "an empty file", ""),
        ("a.csv", "a,b\n", "a.csv", "an empty file", ""),
        ("a.csv", "a,b\n1,2\n1,2,3\n", "a.csv, row 2", "has 3 cells where the header has 2", "Quote cells"),
        ("a.csv", "a,a\n1,2\n", "a.csv", "has 'a' twice", ""),
        ("a.csv", 'a,b\n1,"2\n', "a.csv, row 1", "not a table", "quotation mark"),
        ("a.jsonl", '{"a": 1}\n{"a": [{"b": "x\\u0000y"}]}', "a.jsonl, row 2, $.a[0].b", "NUL character", "Remove"),
        ("a.txt", "fine\nx\0y", "a.txt, row 2, $.text", "NUL character", ""),
        ("a.jsonl", '{"a": "\\ud83d"}', "a.jsonl, row 1, $.a", "half a character (\\ud83d)", "emoji"),
        ("a.jsonl", b'{"a": 1}\n{"a": "\xff"}', "a.jsonl, row 2", "not UTF-8", "UTF-8"),
        ("a.jsonl", '{"a": 1}'.encode("utf-16"), "a.jsonl", "UTF-16", "UTF-8"),
        ("a.jsonl.gz", b"nothing zipped", "a.jsonl.gz, row 1", "damaged", "again"),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 5000)[:-20], "a.jsonl.gz, row ", "damaged", "again"),
        ("a.jsnl", "{}", "a.jsnl", "the format '.jsnl' is unknown", "Did you mean '.jsonl'?"),
        ("a.docx", "x", "a.docx", "the format '.docx' is unknown", "Known: .json"),
    ],
)
def test_what_is_wrong_and_where(refused, row):
    name, contents, where, message, hint = row
    error = refused(name, contents)
    assert error.where.startswith(where)
    assert message in error.message
    assert hint in error.hint
    assert len(error.hint) < 200, "a long row is shortened"


def test_missing_files_are_answered_with_their_neighbours(tmp_path):
    (tmp_path / "train.jsonl").write_text("{}")
    for name, message, hint in (
        ("trian.jsonl", "there is no such file", "Did you mean 'train.jsonl'?"),
        ("", "a folder, not a file", "train.jsonl"),
    ):
        with pytest.raises(UsageError, match=message) as caught:
            FileDataset(FileOptions(path=str(tmp_path / name))).fetch()
        assert hint in caught.value.hint
