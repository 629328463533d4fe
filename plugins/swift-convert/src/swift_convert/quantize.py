"""Checks before `swift quantize`, and the worker that runs an offline quantizer in its engine's environment.

The job itself, which reads rows, loads models and compares them, is provided by the loader (`LoaderSpec.quantizer`).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_convert.roles import LoadableQuantizer, ReportingQuantizer
from swift_core.checkpoints import Checkpoint
from swift_core.contract import Problem, QuantizerSpec, Ref, UsageError
from swift_core.plugins import engine_state
from swift_core.system import disk_errors

if TYPE_CHECKING:
    from swift_convert.roles import OfflineQuantizer
    from swift_core.contract import Choice, Run
    from swift_core.plugins import Registry
    from swift_core.runs import Report

JOB = Ref("swift_convert.quantize:quantize_job")


def load_time_problems(run: Run, known: Registry) -> Iterator[Problem]:
    """Yield why the quantizer of a run that loads a model cannot be used: it is offline, or its engine is not installed."""
    if "quantizer" not in run.parts or run.model is None:
        return
    choice = run.part("quantizer")
    spec = known.spec(choice, QuantizerSpec)
    if spec.when == "offline":
        hint = f"First swift quantize {shlex.quote(run.model.path)} --quantizer {spec.name}; then use the result as the model."
        message = f"{spec.name} writes a checkpoint, and can't quantize a model while it is loaded"
        yield Problem(code="CONVERT-021", where="quantizer", message=message, hint=hint)
    else:
        yield from _engine(spec, choice)


def problems(run: Run, known: Registry) -> Iterator[Problem]:
    """Yield why the quantizer of `swift quantize` cannot process the model."""
    if "quantizer" not in run.parts or run.model is None:
        return
    choice = run.part("quantizer")
    spec = known.spec(choice, QuantizerSpec)
    yield from _engine(spec, choice)
    if run.adapters:
        adapter = next(iter(run.adapters.values()))
        hint = f"Merge it first: swift merge {shlex.quote(adapter.path)}; then quantize the merged model."
        yield Problem(
            code="CONVERT-022", where="model", message=f"'{adapter.reference}' is an adapter, which is kept in full precision", hint=hint
        )
    if form := Checkpoint.at(run.model.path).quantization:
        hint = "Use the checkpoint that it was made from: rounding twice loses more than rounding once."
        yield Problem(code="CONVERT-023", where="model", message=f"'{run.model.reference}' is already quantized ({form})", hint=hint)
    if head := Checkpoint.at(run.model.path).head:
        message = f"'{run.model.reference}' has the head {head}, and quantizers write language models, compared by their next tokens"
        hint = f"Export it: swift export {shlex.quote(run.model.path)} --to onnx --type fp16."
        yield Problem(code="CONVERT-047", where="model", message=message, hint=hint)
    yield from calibration_problems(run, spec)


def calibration_problems(run: Run, spec: Any) -> Iterator[Problem]:
    """Yield a missing calibration set, or one that is not used."""
    if spec.calibrates and not run.datasets:
        hint = "Give rows similar to those that the model will be used with: --dataset FILE."
        yield Problem(code="CONVERT-024", where="dataset", message=f"{spec.name} needs a calibration set", hint=hint)
    elif run.datasets and not spec.calibrates:
        yield Problem(
            code="CONVERT-025", where="dataset", message=f"{spec.name} uses no calibration set; the rows are ignored", fatal=False
        )


def _engine(spec: Any, choice: Choice) -> Iterator[Problem]:
    engine = engine_state(spec, choice.distribution)
    if not (spec.isolated or engine.present):
        yield Problem(
            code="CONVERT-026",
            where="quantizer",
            message=f"{spec.name} needs {' and '.join(engine.missing) or 'another device'}",
            hint=engine.hint,
        )


def check_source(checkpoint: Path) -> None:
    """Check that the source of an offline quantizer is a safetensors checkpoint.

    Raises:
        UsageError: it is not.
    """
    if Checkpoint.at(checkpoint).format != "safetensors":
        raise UsageError(
            "not a safetensors checkpoint", code="CONVERT-027", where=str(checkpoint), hint="Give the model in safetensors format."
        )


def calibration_rows(file: Path | None, encode: Callable[[str], Sequence[int]]) -> list[list[int]]:
    """Return the token ids of a calibration file for an offline quantizer: JSON lines with `ids`, or `text` to be encoded.

    Raises:
        UsageError: there is no file.
    """
    if file is None:
        raise UsageError("there is no calibration set", code="CONVERT-028", where="dataset", hint="Give rows: --dataset FILE.")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [row["ids"] if "ids" in row else list(encode(row["text"])) for row in rows]


def quantize_job(run: Run, report: Report) -> tuple[Path, dict[str, Any]]:
    """Quantize with the engine in this Python; the run's options `output` and `calibration` are the target folder and the rows.

    Returns:
        The folder, and the result of `quantize`.
    """
    assert run.model is not None
    out, rows = Path(run.options["output"]), run.options["calibration"]
    return out, quantize(run.part("quantizer").build(), Path(run.model.path), out, Path(rows) if rows else None, report)


def quantize(quantizer: OfflineQuantizer, checkpoint: Path, out: Path, calibration: Path | None, report: Report) -> dict[str, Any]:
    """Run an offline quantizer, which writes the folder `out`; return `figures` and `own_reader` (only its engine loads the result)."""
    if isinstance(quantizer, ReportingQuantizer):
        quantizer.report_to(report.progress)
    with disk_errors(out):
        figures = dict(quantizer.quantize(checkpoint, out, calibration))
    return {"figures": figures, "own_reader": isinstance(quantizer, LoadableQuantizer) and quantizer.own_reader}
