"""The user's data, checked at once: how many rows, how many of them invalid, and the first one."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from swift_data.choices import choose_dataset, fetch_dataset
from swift_data.reading import raw_rows
from swift_data.rows import canonical, normalise

from swift_core.contract import SwiftError, UsageError
from swift_core.plugins import registry

if TYPE_CHECKING:
    from collections.abc import Sequence

_READ = 2000  # rows that are read
_SHOWN = 600  # characters of a row that are shown


@dataclass(frozen=True, slots=True)
class Found:
    """Contents of a data file: rows, invalid ones, the first valid row as JSON, and the labels of a classifier's rows."""

    rows: int
    bad: int
    first: str
    labels: int


def look(name: str, kinds: Sequence[str]) -> Found:
    """Read the first rows of a data set.

    Raises:
        UsageError: there is no such data set, or none of its rows is of these kinds.
    """
    choice = fetch_dataset(choose_dataset(registry(), name, {}, "--data"))
    rows = bad = 0
    first, labels = "", set[str]()
    reason: SwiftError | None = None
    for raw in islice(raw_rows(choice), _READ):
        rows += 1
        try:
            row = canonical(normalise(raw, kinds))
        except SwiftError as error:
            bad, reason = bad + 1, reason or error
            continue
        first = first or json.dumps(row, ensure_ascii=False)[:_SHOWN]
        if "label" in row:
            labels.add(str(row["label"]))
    if rows == bad:
        message = reason.message if reason else "it has no rows"
        raise UsageError(
            f"no row can be used: {message}",
            code="WIZARD-003",
            where=name,
            hint=f"Wanted: {' or '.join(kinds)} rows; see docs/how-to/own-data.md.",
        )
    return Found(rows, bad, first, len(labels))


def masked(name: str, model: str, verb: str) -> str:
    """Return the first row as the model sees it, with the supervised text in ⟦ ⟧; '' if the model is not on this machine.

    `swift data show` does it, in a process of its own, since the tokenizer needs libraries that the wizard does not.
    """
    command = [sys.executable, "-P", "-m", "swift_core.cli", "data", "show", name, "--model", model, "--task", verb, "--offline", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    try:
        sequences = json.loads(done.stdout)["sequences"]
    except (ValueError, KeyError, TypeError):
        return ""
    text = "".join(f"⟦{piece['text']}⟧" if piece["weight"] else piece["text"] for piece in sequences[0]["pieces"]) if sequences else ""
    return text[:_SHOWN]
