"""The work on one part of a corpus, in a process of an executor."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from swift_data.parts import rows_of_part
from swift_data.reading import SKIPPED_FILE, Skips
from swift_data.row_filters import RowSelection
from swift_train.build import load_base
from swift_train.data import write_store
from swift_train.job import preprocessing_of
from swift_train.store import META

from swift_core.contract import RawRow, Run
from swift_core.plugins import local
from swift_corpus.near_duplicates import duplicates_of
from swift_corpus.storage import Storage

Json = Mapping[str, Any]
NEAR = "resembles an earlier row"


class TokenizePart:
    """Writes the shard of a part. `setup` is {run, output}, an item {number, dataset, place}, a result the line of the index.

    A shard depends on the run and its part alone, so that one is like another, whoever wrote it and how often.
    """

    def __init__(self, setup: Json) -> None:
        run = Run.from_json(setup["run"])
        local.use_local_plugins(run.plugins, where="plugins")
        self._run, self._storage = run, Storage(setup["output"])
        self._selection = RowSelection(run.options)
        self._preprocessing = preprocessing_of(run, run.part("task").build(), load_base(run, "meta"))

    def __call__(self, item: Json) -> Json:
        """Write the shard.

        Raises:
            SwiftError: a row is invalid and not skipped, or can't be read.
        """
        number = int(item["number"])
        near = duplicates_of(self._storage, number) if self._run.options["near_duplicates"] else None
        left_out, read = Counter[str](), 0

        def selected() -> Iterator[RawRow]:
            nonlocal read
            for index, raw in enumerate(rows_of_part(self._run.datasets[item["dataset"]], item["place"], self._run.options["data"])):
                read += 1
                reason = NEAR if near is not None and near[index] else self._selection.reason(raw)
                if reason:
                    left_out[reason] += 1
                else:
                    yield raw

        name = shard_name(number)
        with self._storage.folder(name) as folder:
            skips = Skips({**self._run.options["data"], "max_skipped": "100%"}, [folder / SKIPPED_FILE])
            sequences = write_store(folder, selected(), self._preprocessing, skips)
            meta = json.loads((folder / META).read_text(encoding="utf-8"))
            tokens = int((folder / "ids.bin").stat().st_size) // np.dtype(np.int32).itemsize
            line = {
                "folder": name, "number": number, "dataset": item["dataset"], "rows": read, "left_out": dict(left_out.most_common()),
                "skipped": skips.count, "dropped": meta["dropped"], "sequences": sequences, "tokens": tokens, "digest": meta["digest"],
                "facts": dict(self._preprocessing.facts),
            }  # fmt: skip
            (folder / DONE).write_text(json.dumps(line), encoding="utf-8")
        return line


DONE = "shard.json"  # the line of the index, in the folder of the shard


def shard_name(number: int) -> str:
    """Return the name of a shard's folder."""
    return f"{number:06}"


def finished(storage: Storage, number: int) -> Json | None:
    """Return the line of a shard that is whole; None if there is none."""
    name = shard_name(number)
    if storage.find(f"{name}/{META}") is None or (found := storage.find(f"{name}/{DONE}")) is None:
        return None
    line: Json = json.loads(found)
    return line
