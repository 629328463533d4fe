"""Arrow's tables → rows: parquet, and the .arrow files that `datasets` saves and keeps in its cache."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from swift_core.contract.errors import UsageError
from swift_plugin_datasets.lines import checked, row_error, short


def parquet_rows(file: io.BufferedReader, name: str) -> Iterator[tuple[int, Any]]:
    """Records with their nested values: structs as objects, binary as bytes."""
    with _arrow(name):
        from pyarrow import parquet

        yield from _rows(lambda: parquet.ParquetFile(file).iter_batches(batch_size=256), name, "parquet")


def arrow_rows(file: io.BufferedReader, name: str) -> Iterator[tuple[int, Any]]:
    """The same of Arrow's own files: a stream of batches, as `save_to_disk` writes it, or a file with an index."""
    with _arrow(name):
        from pyarrow import ipc

        if file.peek(6).startswith(b"ARROW1"):
            reader = ipc.open_file(file)
            yield from _rows(lambda: map(reader.get_batch, range(reader.num_record_batches)), name, "arrow")
        else:
            yield from _rows(lambda: ipc.open_stream(file), name, "arrow")


def _rows(batches: Any, name: str, form: str) -> Iterator[tuple[int, Any]]:
    import pyarrow as arrow

    number = 0
    try:
        found: Iterable[Any] = batches()
        for batch in found:
            for data in batch.to_pylist():
                number += 1
                yield number, checked({column: without_absent(value) for column, value in data.items()}, name, number)
    except (arrow.ArrowException, UnicodeDecodeError) as error:
        message = f"not a {form} file, or damaged: {short(str(error))}"
        raise row_error(message, name, number + 1, "Fetch the file again.") from None


@contextmanager
def _arrow(name: str) -> Iterator[None]:
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise UsageError("such files need pyarrow", where=name, hint="pip install 'swift-plugin-datasets[parquet]'") from error
    yield


def without_absent(value: Any) -> Any:
    """A column's value without the empty fields of its structs.

    Arrow gives all structs of a column the same fields, so an empty one was absent: a message without tool calls, or a tool
    without another tool's parameters. Images ({bytes, path}) are left as they are.
    """
    if isinstance(value, list):
        return [without_absent(item) for item in value]
    if isinstance(value, dict) and set(value) != {"bytes", "path"}:
        return {key: without_absent(item) for key, item in value.items() if item is not None}
    return value
