"""Read rows of Arrow tables: Parquet, and the .arrow files that the datasets library saves and caches."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swift_core.contract import UsageError
from swift_plugin_datasets.lines import checked_row, row_error, shortened


def parquet_rows(file: io.BufferedReader, name: str, *, groups: Sequence[int] | None = None, before: int = 0) -> Iterator[tuple[int, Any]]:
    """Yield (row number, row) of a Parquet file; structs become dicts, binary values bytes.

    Args:
        file: the file.
        name: how messages refer to it.
        groups: the row groups to read; None: all.
        before: number of rows ahead of the first row group.
    """
    with _arrow(name):
        from pyarrow import parquet

        yield from _rows(lambda: parquet.ParquetFile(file).iter_batches(batch_size=256, row_groups=groups), name, "parquet", before)


def parquet_groups(path: Path, rows: int) -> Iterator[Mapping[str, Any]]:
    """Yield the row groups of each part of a Parquet file, of at least `rows` rows but for the last, and the rows ahead of it."""
    with _arrow(str(path)):
        import pyarrow as arrow
        from pyarrow import parquet

        try:
            metadata = parquet.read_metadata(path)
        except arrow.ArrowException as error:
            raise _invalid(str(path), "parquet", error) from None
    groups, before, count = list[int](), 0, 0
    for group in range(metadata.num_row_groups):
        groups.append(group)
        count += metadata.row_group(group).num_rows
        if count >= rows or group == metadata.num_row_groups - 1:
            yield {"groups": groups, "before": before} if len(groups) < metadata.num_row_groups else {}
            groups, before, count = [], before + count, 0


def arrow_rows(file: io.BufferedReader, name: str) -> Iterator[tuple[int, Any]]:
    """Yield (row number, row) of an Arrow IPC file, in the stream format (as `save_to_disk` writes) or the file format."""
    with _arrow(name):
        from pyarrow import ipc

        if file.peek(6).startswith(b"ARROW1"):
            reader = ipc.open_file(file)
            yield from _rows(lambda: map(reader.get_batch, range(reader.num_record_batches)), name, "arrow")
        else:
            yield from _rows(lambda: ipc.open_stream(file), name, "arrow")


def _rows(batches: Any, name: str, format_name: str, number: int = 0) -> Iterator[tuple[int, Any]]:
    import pyarrow as arrow

    try:
        found: Iterable[Any] = batches()
        for batch in found:
            for data in batch.to_pylist():
                number += 1
                yield number, checked_row({column: drop_null_fields(value) for column, value in data.items()}, name, number)
    except (arrow.ArrowException, UnicodeDecodeError) as error:
        raise _invalid(name, format_name, error, number + 1) from None


@contextmanager
def _arrow(name: str) -> Iterator[None]:
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        hint = "pip install 'swift-plugin-datasets[parquet]'"
        raise UsageError("Parquet and Arrow files need pyarrow", code="DATA-116", where=name, hint=hint) from error
    yield


def drop_null_fields(value: Any) -> Any:
    """Return a column's value without the null fields of its structs.

    Arrow gives all structs of a column the same fields, so a null field was absent in the original data: a message without tool
    calls, or a tool without another tool's parameters. Images ({bytes, path}) are left unchanged.
    """
    if isinstance(value, list):
        return [drop_null_fields(item) for item in value]
    if isinstance(value, dict) and set(value) != {"bytes", "path"}:
        return {key: drop_null_fields(item) for key, item in value.items() if item is not None}
    return value


def _invalid(name: str, format_name: str, error: Exception, number: int = 1) -> UsageError:
    """Return the error of a file that can't be read from row `number` on."""
    message = f"not a valid {format_name} file: {shortened(str(error))}"
    return row_error(message, name, number, "Download the file again.", code="DATA-115")
