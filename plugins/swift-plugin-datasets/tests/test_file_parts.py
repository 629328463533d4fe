"""Parts of files: one after the other they are the rows of the file, with their numbers."""

from __future__ import annotations

import gzip
import json

import pytest
from swift_plugin_datasets.file import FileDataset
from swift_plugin_datasets.options import FileOptions

ROWS = [{"text": f"row {number}"} for number in range(25)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


@pytest.mark.parametrize(
    ("name", "contents", "parts"),
    [
        ("a.jsonl", LINES.encode(), 3),
        ("a.json", LINES.encode(), 3),
        ("no-end.jsonl", LINES.rstrip().encode(), 3),
        ("blank.jsonl", LINES.replace("\n", "\n\n").encode(), 5),
        ("bad.jsonl", LINES.replace('{"text": "row 13"}', "{broken").encode(), 3),
        ("bom.jsonl", b"\xef\xbb\xbf" + LINES.encode(), 3),
        ("a.txt", "".join(f"line {number}\n" for number in range(25)).encode(), 3),
        ("array.json", json.dumps(ROWS).encode(), 1),
        ("object.json", json.dumps({"data": ROWS}).encode(), 1),
        ("a.csv", ("text\n" + "".join(f"row {number}\n" for number in range(25))).encode(), 1),
        ("a.jsonl.gz", gzip.compress(LINES.encode()), 1),
        ("short.jsonl", b'{"text": "one"}\n', 1),
    ],
)
def test_parts_are_the_rows(name, contents, parts, tmp_path):
    (tmp_path / name).write_bytes(contents)
    check(tmp_path / name, parts)


def test_row_groups_of_a_table(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(arrow.Table.from_pylist(ROWS), tmp_path / "a.parquet", row_group_size=4)
    check(tmp_path / "a.parquet", 3)  # 12, 12 and 1 rows
    (tmp_path / "a.parquet").rename(tmp_path / "named.jsonl")
    check(tmp_path / "named.jsonl", 1)


def test_files_of_a_folder(tmp_path):
    for name in ("b.jsonl", "a.jsonl"):
        (tmp_path / name).write_text(LINES)
    check(tmp_path, 6)


def check(path, parts):
    dataset = FileDataset(FileOptions(path=str(path)))
    places = list(dataset.parts(10))
    assert len(places) == parts
    assert json.loads(json.dumps(places)) == places
    as_parts = [row for place in places for row in dataset.part_rows(place)]
    whole = list(dataset.rows())
    assert [(row.data, row.file, row.number, row.folder, str(row.fault)) for row in as_parts] == [
        (row.data, row.file, row.number, row.folder, str(row.fault)) for row in whole
    ]
