"""`swift data tokenize`: tokenise data sets in parts by an executor, and write the index of the shards.

What was finished is kept: the same command goes on where an earlier one ended, however it ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from swift_data.offered import offered
from swift_data.parts import parts_of
from swift_data.reading import SKIPPED_FILE, Skips
from swift_data.row_filters import RowSelection
from swift_nodes.executors import GROUP, Executor
from swift_provenance.licences import terms_of_data

from swift_core.contract import Ref, Run, UsageError, Watch, progress
from swift_core.plugins import registry
from swift_core.system import digest
from swift_corpus import near_duplicates
from swift_corpus.index import INDEX, PLAN, Index, index_of
from swift_corpus.options import SUFFIX
from swift_corpus.part_work import finished
from swift_corpus.storage import Storage

Json = Mapping[str, Any]
_WORK, _SIGN = Ref("swift_corpus.part_work:TokenizePart"), Ref("swift_corpus.near_duplicates:SignPart")


def tokenize(run: Run, watch: Watch | None = None) -> Index:
    """Tokenise the data sets of a run into the place in its option `output`.

    Args:
        run: as returned by `swift_data.task.resolve_rows`.
        watch: receives notes and progress.

    Raises:
        UsageError: the place has other shards, an option is wrong, or rows are invalid.
        SwiftError: processes of the executor failed.
    """
    if not (output := run.options["output"].rstrip("/")).endswith(SUFFIX):
        hint = f"By the suffix a training knows what it is: --output {output}{SUFFIX}"
        raise UsageError(f"must end in {SUFFIX}", code="DATA-195", where="output", hint=hint)
    storage = Storage(output)
    _, executor = offered(GROUP, Executor, run.options["executor"], "executor", "executor")
    RowSelection(run.options)  # wrong filters and evaluation data are found before the work starts
    run, items = _planned(run, storage)
    lines = {item["number"]: line for item in items if (line := finished(storage, item["number"]))}
    if lines and watch:
        watch({"event": "note", "text": f"{len(lines)} of {len(items)} shards were finished before"})
    if run.options["near_duplicates"] and len(lines) < len(items):
        _mark(run, storage, executor, items, watch)
    todo = [item for item in items if item["number"] not in lines]
    for line in _told(executor.map(_WORK, _setup(run), todo), "tokenise", len(lines), len(items), watch):
        lines[line["number"]] = line
    ordered = [lines[number] for number in sorted(lines)]
    _check_skipped(run, storage, ordered)
    index = index_of(ordered, [_described(choice) for choice in run.datasets])
    if not index.shards:
        hint = "Check the filters, and whether every row is longer than max_length."
        raise UsageError("no rows are left", code="PLUGIN-050", where="dataset", hint=hint)
    index.write(storage)
    storage.remove(near_duplicates.WORK)
    return index


def _planned(run: Run, storage: Storage) -> tuple[Run, list[dict[str, Any]]]:
    """Return the run, with the date of the one that it continues, and the parts; write both as the plan."""
    overwrite = bool(run.options.get("overwrite"))
    asked = digest(
        [
            [{**asdict(choice), "asked": ""} for choice in run.datasets],
            run.model.hash if run.model else "",
            {name: choice.options for name, choice in run.parts.items()},
            run.options_with_effect(),
        ]
    )
    before = storage.find(PLAN)
    if before is not None and not overwrite and (plan := json.loads(before))["asked"] == asked:
        if storage.find(INDEX) is not None:
            raise UsageError(
                f"'{storage.place}' has these rows already",
                code="DATA-194",
                where="output",
                hint="Use them, or tokenise them again with --overwrite.",
            )
        return replace(run, date=plan["date"]), plan["parts"]
    taken = (
        before is not None
        or storage.find(INDEX) is not None
        or (storage.local is not None and storage.local.is_dir() and any(storage.local.iterdir()))
    )
    if taken and not overwrite:
        message = f"'{storage.place}' exists" if before is None else f"'{storage.place}' is of other rows or options"
        raise UsageError(message, code="PLUGIN-051", where="output", hint="Choose another place, or add --overwrite to replace it.")
    places = [(number, place) for number, choice in enumerate(run.datasets) for place in parts_of(choice, run.options["rows_per_shard"])]
    parts: list[dict[str, Any]] = [
        {"number": number, "dataset": which, "place": dict(place)} for number, (which, place) in enumerate(places)
    ]
    if taken:
        storage.remove()
    storage.write(PLAN, json.dumps({"asked": asked, "date": run.date, "parts": parts}).encode())
    return run, parts


def _mark(run: Run, storage: Storage, executor: Executor, items: Sequence[Json], watch: Watch | None) -> None:
    """Find the rows that resemble an earlier one."""
    bands = near_duplicates.Bands(run.options["near_duplicates"]).count
    if storage.find(f"{near_duplicates.WORK}/marked") is not None:
        return
    results = executor.map(_SIGN, _setup(run), items)
    counts = {line["number"]: line["rows"] for line in _told(results, "compare", 0, len(items), watch)}
    near_duplicates.mark(storage, [counts[number] for number in sorted(counts)], bands)
    storage.write(f"{near_duplicates.WORK}/marked", b"")


def _setup(run: Run) -> Json:
    return {"run": run.to_json(), "output": run.options["output"]}


def _told(results: Iterator[Json], what: str, done: int, total: int, watch: Watch | None) -> Iterator[Json]:
    if watch:
        watch(progress(what, done, total, "shards"))
    for number, line in enumerate(results, done + 1):
        yield line
        if watch:
            watch(progress(what, number, total, "shards"))


def _check_skipped(run: Run, storage: Storage, lines: Sequence[Json]) -> None:
    """List the skipped rows of all shards in one file, and check their share.

    Raises:
        UsageError: there are too many.
    """
    skips = Skips(run.options["data"], [Path(f"{storage.place}/{SKIPPED_FILE}")])
    listed = [text for line in lines if line["skipped"] for text in storage.read(f"{line['folder']}/{SKIPPED_FILE}").decode().splitlines()]
    if listed:
        storage.write(SKIPPED_FILE, "".join(f"{text}\n" for text in listed).encode())
    skips.adopt(listed)
    skips.finish(sum(line["rows"] for line in lines))


def _described(choice: Any) -> dict[str, Any]:
    terms = terms_of_data(choice, registry())
    return {"asked": choice.asked, "hash": choice.hash, "limit": choice.limit, "licence": terms.licence, "origin": terms.origin}
