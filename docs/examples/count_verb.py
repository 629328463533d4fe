"""A verb in a local plugin: `swift --plugin docs/examples/count_verb.py count MODEL` counts the parameters of a checkpoint."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract import Ref, VerbSpec
from swift_core.options import ModelOptions, option

if TYPE_CHECKING:
    from swift_core.contract import Run
    from swift_core.runs import Report


class CountOptions(ModelOptions):
    """Options of swift count."""

    digits: int = option(3, "Significant digits of the figure.", ge=1)


@hookimpl
def swift_verbs() -> list[VerbSpec]:
    """Offer the verb: its command, YAML, recipe step, JSON Schema and Python function follow from this."""
    parts = {"options": Ref("count_verb:CountOptions"), "job": Ref("count_verb:count")}
    return [VerbSpec(name="count", summary="Count the parameters of a checkpoint", takes=("checkpoint",), positional="model", **parts)]


def count(run: Run, report: Report) -> dict[str, float]:
    """Sum the sizes in the headers of the safetensors files (the job: it runs in a worker, and returns figures)."""
    from swift_formats.weights import read_header, weight_files

    files = weight_files(Path(run.model.path))
    total = sum(prod(tensor["shape"]) for file in files for tensor in read_header(file).values())
    return {"parameters": float(f"{total:.{run.options['digits']}g}")}
