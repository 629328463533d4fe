"""A verb in a local plugin: `swift --plugin docs/examples/count_verb.py count MODEL` counts the parameters of a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core import hookimpl
from swift_core.contract import Ref, VerbSpec
from swift_core.options import ModelOptions, option

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_core.runs import Report


class CountOptions(ModelOptions):
    """Options of swift count."""

    digits: int = option(3, "Significant digits of the figure.", ge=1)


# -- start swift_verbs --
@hookimpl
def swift_verbs() -> list[VerbSpec]:
    """Offer the verb: its command, YAML, recipe step, JSON Schema and Python function follow from this."""
    return [
        VerbSpec(
            name="count",
            summary="Count the parameters of a checkpoint",
            options=Ref("count_verb:CountOptions"),
            takes=("checkpoint",),
            gives="file",
            positional="model",
            job=Ref("count_verb:count"),
        )
    ]


# -- end swift_verbs --


def count(run: Run, report: Report) -> tuple[Path, dict[str, Any]]:
    """Sum the sizes in the headers of the safetensors files (the job: it runs in a worker)."""
    total = 0
    for file in sorted(Path(run.model.path).glob("*.safetensors")):
        with file.open("rb") as opened:
            header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
        total += sum(_product(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    output = report.folder / "count.json"
    output.write_text(json.dumps({"parameters": total}), encoding="utf-8")
    return output, {"parameters": float(f"{total:.{run.options['digits']}g}")}


def _product(shape: list[int]) -> int:
    result = 1
    for size in shape:
        result *= size
    return result
