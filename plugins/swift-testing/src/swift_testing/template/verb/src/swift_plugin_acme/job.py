"""The job of the verb, which a worker calls: it reads the headers of the safetensors files."""

from __future__ import annotations

import json
from collections import Counter
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract import UsageError
from swift_core.system import write_json

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_core.runs import Report


def count(run: Run, report: Report) -> tuple[Path, dict[str, Any]]:
    """Count the parameters, write them to `counts.json` and return the file; figures: parameters by data type.

    Raises:
        UsageError: the checkpoint has no safetensors files.
    """
    assert run.model is not None
    files = sorted(Path(run.model.path).glob("*.safetensors"))
    if not files:
        raise UsageError("there are no safetensors files", where=run.model.path, hint="Choose another checkpoint.")
    counts: Counter[str] = Counter()
    for number, file in enumerate(files, 1):
        with file.open("rb") as opened:
            header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
        for name, entry in header.items():
            if name != "__metadata__":
                counts[entry["dtype"]] += prod(entry["shape"])
        report.progress("count", number, len(files), unit="files")
    output = report.folder / "counts.json"
    write_json(output, counts)
    return output, {dtype: float(f"{found:.{run.options['digits']}g}") for dtype, found in counts.items()}
