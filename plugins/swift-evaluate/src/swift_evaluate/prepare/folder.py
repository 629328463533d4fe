"""A prepared benchmark: its folder, its subsets and its rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swift_core.contract import UsageError
from swift_evaluate.prepare.formats import FORMATS

RECORD = "prepared.json"


@dataclass(frozen=True, slots=True)
class PreparedBenchmark:
    """A folder that `prepare` wrote; `counts` has the number of rows by `subset/split`, `left_out` that of rows without an answer."""

    name: str  # the benchmark
    folder: Path  # where its files are
    counts: Mapping[str, int]
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def split(self) -> str:
        """The split whose items are evaluated."""
        return FORMATS[self.name].split

    @property
    def subsets(self) -> tuple[str, ...]:
        """The subsets with items to evaluate."""
        return tuple(place.rpartition("/")[0] for place in self.counts if place.rpartition("/")[2] == self.split)

    @property
    def few_shot(self) -> str:
        """The split with worked examples; '' if the benchmark has none."""
        return FORMATS[self.name].few_shot

    @property
    def has_few_shot(self) -> bool:
        """True if every subset with items also has worked examples."""
        return bool(self.few_shot) and all(f"{subset}/{self.few_shot}" in self.counts for subset in self.subsets)

    def file(self, subset: str, split: str = "") -> Path:
        """Return the file of a subset; by default with the items that are evaluated."""
        return self.folder / subset / f"{split or self.split}.jsonl"

    def rows(self, subset: str, split: str = "") -> list[dict[str, Any]]:
        """Return the rows of a subset; by default those that are evaluated."""
        return [json.loads(line) for line in self.file(subset, split).read_text(encoding="utf-8").splitlines()]

    def hash(self) -> str:
        """Return a hash of all rows that are evaluated."""
        total = hashlib.sha256()
        for subset in self.subsets:
            total.update(self.file(subset).read_bytes())
        return total.hexdigest()


def read_prepared(folder: Path) -> PreparedBenchmark:
    """Read the record of a folder that `prepare` wrote.

    Raises:
        UsageError: it is not such a folder.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        found = PreparedBenchmark(str(record["benchmark"]), folder, dict(record["rows"]), dict(record.get("left_out", {})))
    except (OSError, ValueError, KeyError, TypeError):
        hint = "Prepare the files first: swift eval prepare NAME --from FILES"
        raise UsageError("not a prepared benchmark", where=str(folder), hint=hint, code="EVAL-028") from None
    if found.name not in FORMATS:
        raise UsageError(f"there is no benchmark '{found.name}'", where=str(folder / RECORD), code="EVAL-029")
    return found
