"""What the core knows of quantizing: which runs can't work, and the part of `swift quantize` that an engine's own environment does.

The job itself reads rows, loads models and compares them; the loader brings it (`LoaderSpec.quantizing`).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.checkpoints.manifest import checkpoint_format, quantization_of, read_config
from swift_core.contract.errors import UsageError
from swift_core.contract.specs import Problem, Ref
from swift_core.plugins.engines import state
from swift_core.system.paths import disk_errors

if TYPE_CHECKING:
    from swift_core.contract.roles import OfflineQuantizer
    from swift_core.contract.run import Run
    from swift_core.plugins.registry import Registry
    from swift_core.runs.events import Report

HERE = Ref("swift_convert.quantize:quantize_here")


def problems(run: Run, known: Registry) -> Iterator[Problem]:
    """Why the quantizer can't do what the run asks of it, before anything is started."""
    if "quantizer" not in run.parts or run.model is None:
        return
    choice = run.part("quantizer")
    spec = known.spec(choice)
    if run.verb != "quantize" and spec.when == "offline":
        hint = f"First swift quantize {shlex.quote(run.model.path)} --quantizer {spec.name}; then name the result as the model."
        message = f"{spec.name} writes a checkpoint, and can't quantize while a model is loaded"
        yield Problem(where="quantizer", message=message, hint=hint)
        return
    engine = state(spec, choice.distribution)
    if not (spec.isolated or engine.present):
        yield Problem(where="quantizer", message=f"{spec.name} needs {' and '.join(engine.missing) or 'another device'}", hint=engine.hint)
    if run.verb != "quantize":
        return
    if run.adapters:
        adapter = next(iter(run.adapters.values()))
        hint = f"Merge it first: swift merge {shlex.quote(adapter.path)}; then quantize the merged model."
        yield Problem(where="model", message=f"'{adapter.reference}' is an adapter, which is learned in full precision", hint=hint)
    if form := quantization_of(read_config(Path(run.model.path))):
        hint = "Name the checkpoint that it was made from: rounding twice loses more than rounding once."
        yield Problem(where="model", message=f"'{run.model.reference}' is quantized already ({form})", hint=hint)
    if spec.calibrates and not run.datasets:
        hint = "Name rows like those that the model will see: --dataset FILE."
        yield Problem(where="dataset", message=f"{spec.name} needs rows to calibrate with", hint=hint)
    elif run.datasets and not spec.calibrates:
        yield Problem(where="dataset", message=f"{spec.name} looks at the weights alone; the rows are not used", fatal=False)


def check_source(checkpoint: Path) -> None:
    """For an offline quantizer: refuse what is no checkpoint of safetensors.

    Raises:
        UsageError: it is not.
    """
    if checkpoint_format(checkpoint) != "safetensors":
        raise UsageError("not a safetensors checkpoint", where=str(checkpoint), hint="Name the model in safetensors.")


def calibration_rows(file: Path | None, encode: Callable[[str], Sequence[int]]) -> list[list[int]]:
    """Token ids of the rows that an offline quantizer is given, a row a line, `ids` or `text`.

    Raises:
        UsageError: there are none.
    """
    if file is None:
        raise UsageError("there are no rows to calibrate with", where="dataset", hint="Name rows: --dataset FILE.")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [row["ids"] if "ids" in row else list(encode(row["text"])) for row in rows]


def quantize_here(run: Run, report: Report) -> tuple[Path, dict[str, Any]]:
    """Quantize with the engine that this very Python has: `output` and `calibration` in the run's options say where and with what.

    Returns:
        The folder, and what `quantize` returns.
    """
    from swift_core.runs.engine_worker import end_when_stopped

    end_when_stopped(report)
    assert run.model is not None
    out, rows = Path(run.options["output"]), run.options["calibration"]
    return out, quantize(run.part("quantizer").build(), Path(run.model.path), out, Path(rows) if rows else None, report)


def quantize(quantizer: OfflineQuantizer, checkpoint: Path, out: Path, calibration: Path | None, report: Report) -> dict[str, Any]:
    """Let an offline quantizer write `out`: its `figures`, and whether its `own_reader` alone loads the result.

    One that can tell how far it is has a method `watch`, which is given `Report.progress`.
    """
    if watch := getattr(quantizer, "watch", None):
        watch(report.progress)
    with disk_errors(out):
        figures = dict(quantizer.quantize(checkpoint, out, calibration))
    return {"figures": figures, "own_reader": getattr(quantizer, "own_reader", False)}
