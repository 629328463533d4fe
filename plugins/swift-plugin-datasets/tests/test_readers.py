"""Files of rows: every format, and everything that can be wrong with one."""

from __future__ import annotations

import bz2
import gzip
import itertools
import json
import lzma
import sys
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from swift_plugin_datasets import json_rows
from swift_plugin_datasets.file import FileDataset
from swift_plugin_datasets.options import FileOptions
from swift_testing.codes import coded

from swift_core.contract.errors import UsageError

ROWS = [{"text": "one, two"}, {"text": 'häßlich\n"quoted"'}, {"text": "三"}]


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def read(name, contents):
        Path(name).write_bytes(contents if isinstance(contents, bytes) else contents.encode())
        return list(FileDataset(FileOptions(path=name)).rows())

    return read


def first_fault(rows):
    """Raise the first row's fault, as whoever makes sense of rows does."""
    for row in rows:
        if row.fault:
            raise row.fault


@pytest.fixture
def refused(read):
    def refused(name, contents) -> UsageError:
        with pytest.raises(UsageError) as caught:
            first_fault(read(name, contents))
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
        ("a.jsonl.gz", gzip.compress(LINES.encode(), mtime=0)),
        ("a.jsonl", "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)),
        ("a.csv.gz", gzip.compress(TABLE.encode(), mtime=0)),
        ("a.jsonl.bz2", bz2.compress(LINES.encode())),
        ("a.json.xz", lzma.compress(json.dumps(ROWS).encode())),
        ("a.JSONL.ZST", zstandard.compress(LINES.encode())),
        ("a.csv.zstd", zstandard.compress(TABLE[:20].encode()) + zstandard.compress(TABLE[20:].encode())),
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
    assert "parquet" in refused("a.parquet", "nothing").message
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "swift-plugin-datasets[parquet]" in refused("a.parquet", "nothing").hint


def test_parquet_has_absent_fields_as_absent_and_images_as_they_are(read, tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    call = {"function": {"name": "f", "arguments": {"x": 1}}}
    rows = [
        {
            "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [call]}],
            "images": [{"bytes": b"\x89PNG", "path": None}, {"bytes": None, "path": "b.png"}],
            "system": None,
        }
    ]
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "b.parquet")
    assert [row.data for row in read("a.parquet", (tmp_path / "b.parquet").read_bytes())] == rows
    parquet.write_table(arrow.Table.from_pylist([{"text": "x\0"}]), tmp_path / "b.parquet")
    with pytest.raises(UsageError, check=coded("DATA-140"), match="NUL"):
        first_fault(read("a.parquet", (tmp_path / "b.parquet").read_bytes()))


def test_zstd_without_its_library(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    assert "swift-plugin-datasets[zst]" in refused("a.jsonl.zst", b"\x28\xb5\x2f\xfdx").hint


def test_rows_of_an_array_of_any_kind_across_the_ends_of_the_buffer(read, monkeypatch):
    rows = [{"a": ["x\\", "😀", None, True]}, "text", -1.5e-7, 12345678, None, True, [], {}, {"三": {"b": [[]]}}]
    contents = json.dumps(rows * 30, indent=1).replace("\n", "\r\n")
    for size in (1, 7, 64):
        monkeypatch.setattr(json_rows, "_CHUNK", size)
        assert [row.data for row in read("a.json", contents)] == rows * 30
        with pytest.raises(UsageError, check=coded("DATA-136"), match="delimiter") as caught:
            read("a.json", contents[:-3] + ', {"a"\r\n 1}]')
        lines = contents.count("\n")
        assert f"row {len(rows) * 30 + 1}, line {lines + 1}" in caught.value.where


def test_a_fault_early_in_a_large_array_does_not_read_all_of_it(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[{"a" 1},' + '{"text": "x"},' * 1_000_000)
    tracemalloc.start()
    with pytest.raises(UsageError, check=coded("DATA-136"), match="delimiter"):
        list(FileDataset(FileOptions(path=str(path))).rows())
    assert tracemalloc.get_traced_memory()[1] < 6_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_row_of_50_megabytes_is_tried_a_few_times(read, name, monkeypatch):
    tried = []

    class Counting(json.JSONDecoder):
        def raw_decode(self, text, idx=0):
            tried.append(len(text) - idx)
            return super().raw_decode(text, idx)

    monkeypatch.setattr(json_rows, "_DECODER", Counting())
    big = json.dumps({"text": ["x" * 1000] * 50_000})
    contents = f"[{big},\n{big}]" if name == "a.json" else f"{big}\n{big}"
    assert len(read(name, contents)) == 2
    assert sum(tried) < 4 * len(contents)


def test_rows_know_the_folder_of_their_media(read):
    assert [row.folder for row in read("a.txt", "one")] == [Path()]


def test_rows_know_file_and_line(read):
    rows = read("a.jsonl", '{"a": 1}\n\n{"a": 2}\n')
    assert [row.number for row in rows] == [1, 3]
    assert rows[0].file.endswith("a.jsonl")


@pytest.mark.parametrize(("begin", "between"), [("", "\n"), ("[", ",")])
def test_lines_and_arrays_are_streams(tmp_path, begin, between):
    path = tmp_path / "a.json"
    path.write_text(begin + (json.dumps({"text": "x" * 1000}) + between) * 20_000 + "not JSON")
    tracemalloc.start()
    rows = list(itertools.islice(FileDataset(FileOptions(path=str(path))).rows(), 5000))
    assert len(rows) == 5000
    assert tracemalloc.get_traced_memory()[1] < 12_000_000  # the rows themselves take half of it
    tracemalloc.stop()


@pytest.mark.parametrize(
    "row",
    [
        ("a.jsonl", '{"a": 1}\n' * 6 + '{"a": oops' + "s" * 200, "a.jsonl, row 7", "not JSON", "…'"),
        ("a.json", '{\n  "a": 1\n}', "a.json, row 1", "not JSON", "one object per line"),
        ("a.json", '[{"a": 1},\n{"a" 2}]', "a.json, row 2, line 2", "invalid JSON array", "Near: "),
        ("a.jsonl", "[" * 100_000, "a.jsonl", "nested too deeply", ""),
        ("a.jsonl", "", "a.jsonl", "no rows", "the right file"),
        ("a.json", "[]", "a.json", "no rows", ""),
        ("a.json", '[{"a": 1}\n{"a": 2}]', "a.json, row 1, line 2", "',' or ']'", "Near: "),
        ("a.json", '[{"a": 1},]', "a.json, row 2, line 1", "Expecting value", "Near: "),
        ("a.json", '[{"a": 1},\n', "a.json, row 2, line 2", "Expecting value", "written completely"),
        ("a.json", '[{"a": 1}', "a.json, row 1, line 1", "the file ends inside the array", "written completely"),
        ("a.json", '[{"a": 1},\n{"a": "cut', "a.json, row 2, line 2", "Unterminated string", "Near: "),
        ("a.json", '[{"a": 1}]\n[{"a": 2}]', "a.json, line 2", "after the end of the array", "one array"),
        ("a.json", b'[{"a": 1},\n\n{"a": "\xff"}]', "a.json, line 3", "not UTF-8", "UTF-8"),
        ("a.json", "[" * 100_000, "a.json, row 1", "nested too deeply", ""),
        ("a.json", '[{"a": 1}]'.encode("utf-16"), "a.json", "UTF-16", "UTF-8"),
        ("a.csv", "a\n1".encode("utf-16"), "a.csv", "UTF-16", "UTF-8"),
        ("a.json", '[{"a": 1},{"a": "\\u0000"}]', "a.json, row 2, $.a", "NUL character", "Remove"),
        ("a.jsonl", '{"a": 1}\n{"b": {"a": 1, "a": 2}}', "a.jsonl, row 2", "duplicate key 'a'", "Keep one"),
        ("a.json", '[{"a": 1, "a": 1}]', "a.json, row 1", "duplicate key 'a'", "Keep one"),
        ("a.jsonl", '{"a": NaN}', "a.jsonl, row 1", "NaN", "null"),
        ("a.json", '[{"a": -Infinity}]', "a.json, row 1", "-Infinity", "null"),
        ("a.jsonl", '{"a": ' + "1" * 5000 + "}", "a.jsonl, row 1", "limit", ""),
        ("a.csv", "a,b\n1,x\0y\n", "a.csv, row 1, $.b", "NUL character", ""),
        ("a.jsonl", '{"\\u0000": 1}', "a.jsonl, row 1", "NUL character", ""),
        ("a.jsonl.bz2", b"BZhnothing zipped", "a.jsonl.bz2, row 1", "damaged", "again"),
        ("a.jsonl.bz2", bz2.compress(b'{"a": 1}\n' * 5000)[:-20], "a.jsonl.bz2, row ", "damaged", "again"),
        ("a.jsonl.xz", lzma.compress(b'{"a": 1}\n' * 5000)[:-20], "a.jsonl.xz, row ", "damaged", "again"),
        ("a.jsonl.zst", b"\x28\xb5\x2f\xfdnothing zipped", "a.jsonl.zst, row 1", "damaged", "again"),
        ("a.jsonl.zst", zstandard.compress(b'{"a": 1}\n' * 5000)[:-8], "a.jsonl.zst, row ", "damaged: the file ends inside", "again"),
        ("a.jsonl.zst", zstandard.compress(b'{"a": 1}\n') + b"rest", "a.jsonl.zst, row ", "damaged", "again"),
        ("a.csv", "a,b\n", "a.csv", "only a header: 'a,b'", "rows below"),
        ("a.csv", "", "a.csv", "no rows", ""),
        ("a.jsonl", b"PK\x03\x04rest", "a.jsonl", "a zip archive", "Unpack"),
        ("a.json", b"\x04\x22\x4d\x18rest", "a.json", "lz4", "Unpack"),
        ("a.json", '{"data": [{"a": 1}], "test": [{"a": 2}]}', "a.json", "two lists: 'data' and 'test'", "'test'"),
        ("a.json", '{"data": [{"a": 1}]}{"a": 2}', "a.json, line 1", "after the end of the object", "one array"),
        ("a.json", '{"data": [{"a": 1}', "a.json, row 1", "ends inside the array", "written completely"),
        ("a.csv", "a,b\n1,2\n1,2,3\n", "a.csv, row 2", "3 cells, but the header has 2", "Quote cells"),
        ("a.csv", "a,a\n1,2\n", "a.csv", "has 'a' twice", ""),
        ("a.csv", 'a,b\n1,"2\n', "a.csv, row 1", "invalid table", "quotation mark"),
        ("a.jsonl", '{"a": 1}\n{"a": [{"b": "x\\u0000y"}]}', "a.jsonl, row 2, $.a[0].b", "NUL character", "Remove"),
        ("a.txt", "fine\nx\0y", "a.txt, row 2, $.text", "NUL character", ""),
        ("a.jsonl", '{"a": "\\ud83d"}', "a.jsonl, row 1, $.a", "surrogate (\\ud83d)", "emoji"),
        ("a.jsonl", b'{"a": 1}\n{"a": "\xff"}', "a.jsonl, row 2", "not UTF-8", "UTF-8"),
        ("a.jsonl", '{"a": 1}'.encode("utf-16"), "a.jsonl", "UTF-16", "UTF-8"),
        ("a.jsonl.gz", b"\x1f\x8bnothing zipped", "a.jsonl.gz, row 1", "damaged", "again"),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 5000, mtime=0)[:-20], "a.jsonl.gz, row ", "damaged", "again"),
        ("a.jsnl", "{}", "a.jsnl", "unknown format '.jsnl'", "Did you mean '.jsonl'?"),
        ("a.docx", "x", "a.docx", "unknown format '.docx'", "Supported: .json"),
    ],
)
def test_what_is_wrong_and_where(refused, row):
    name, contents, where, message, hint = row
    error = refused(name, contents)
    assert error.where.startswith(where)
    assert message in error.message
    assert hint in error.hint
    assert len(error.hint) < 200, "a long row is shortened"


def test_the_rows_after_a_bad_one_can_still_be_read(read):
    rows = read("rows.jsonl", '{"text": "a"}\n{"text": \n{"text": "a\\u0000"}\n\xff\n'.encode("latin-1") + b'{"text": "b"}\n')
    assert [row.data["text"] if row.data else None for row in rows] == ["a", None, None, None, "b"]
    assert [bool(row.fault) for row in rows] == [False, True, True, True, False]
    assert [row.number for row in rows] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_compression_is_detected_by_content(read, pack, name):
    assert [row.data for row in read(name, pack(b'{"a": 1}\n{"a": 2}\n'))] == [{"a": 1}, {"a": 2}]


def test_plain_files_with_the_suffix_of_a_compression(read):
    assert [row.data for row in read("a.csv.gz", "a\n1\n")] == [{"a": "1"}]


@pytest.mark.parametrize(
    "contents",
    [
        '{"data": [{"a": 1}, {"a": 2}]}',
        '{"version": "1.1", "n": 2, "rows": [\n{"a": 1},\n{"a": 2}\n],\n "made": {"by": "me"}}\n',
        '\ufeff{\r\n "train": [{"a": 1}, {"a": 2}]}',
    ],
)
def test_rows_that_an_object_holds(read, contents, monkeypatch):
    for size in (7, 1 << 20):
        monkeypatch.setattr(json_rows, "_CHUNK", size)
        assert [(row.number, row.data) for row in read("a.json", contents)] == [(1, {"a": 1}), (2, {"a": 2})]


def test_lines_with_a_list_called_data_are_rows(read):
    rows = [{"data": [{"role": "user", "content": "Hi"}]}, {"data": [{"role": "user", "content": "Ho"}]}]
    assert [row.data for row in read("a.json", "\n".join(map(json.dumps, rows)))] == rows


def test_parquet_and_arrow_are_detected_by_content(read, tmp_path):
    import pyarrow
    from pyarrow import ipc, parquet

    table = pyarrow.table({"a": [1, 2]})
    parquet.write_table(table, tmp_path / "p")
    with ipc.new_file(tmp_path / "f", table.schema) as file:
        file.write_table(table)
    with ipc.new_stream(tmp_path / "s", table.schema) as stream:
        stream.write_table(table)
    for name, contents in (("a.jsonl", "p"), ("b.arrow", "f"), ("c.arrow", "s"), ("d.json", "f")):
        assert [row.data for row in read(name, (tmp_path / contents).read_bytes())] == [{"a": 1}, {"a": 2}]
