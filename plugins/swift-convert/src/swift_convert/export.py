"""The job of `swift export`: convert a checkpoint to another format; the output folder is written atomically.

An exporter whose engine has a separate environment runs in a worker there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_engines.worker import in_engine

from swift_convert.quantize import calibration_problems
from swift_convert.roles import CalibratingExporter
from swift_convert.verify import compare_result, traits_of
from swift_core.checkpoints import Checkpoint, Manifest, write_manifest
from swift_core.contract import ExporterSpec, Problem, Ref, UsageError, __version__
from swift_core.system import output_path, paths

if TYPE_CHECKING:
    from swift_core.contract import Run, Source
    from swift_core.plugins import Registry
    from swift_core.runs import Report

JOB = Ref("swift_convert.export:export_job")


def problems(run: Run, known: Registry) -> Iterator[Problem]:
    """Yield the reasons why the exporter can't export the run's checkpoint, before anything is started."""
    if "exporter" not in run.parts or run.model is None:
        return
    spec = known.spec(run.part("exporter"), ExporterSpec)
    if len(run.adapters) > 1:
        yield Problem(code="CONVERT-015", where="adapter", message="only one adapter can be exported at a time", hint="Give one of them.")
    elif run.adapters and "adapter" not in spec.reads:
        yield Problem(
            code="CONVERT-016",
            where="model",
            message=f"{spec.name} exports whole models, but '{_subject(run).reference}' is an adapter",
            hint=f"Merge it first: swift merge {_subject(run).path}; then export the merged model.",
        )
    elif not run.adapters and run.model.format not in spec.reads:
        message = f"{spec.name} reads {' and '.join(spec.reads)} checkpoints, but '{run.model.reference}' is {run.model.format}"
        first = [other.name for other in known.all(ExporterSpec) if other.writes in spec.reads and run.model.format in other.reads]
        hint = f"Export it first: --to {' or '.join(first)}." if first else "Give the checkpoint that it was converted from."
        yield Problem(code="CONVERT-017", where="model", message=message, hint=hint)
    yield from calibration_problems(run, spec)


def export(run: Run, report: Report) -> tuple[Path, dict[str, Any]]:
    """Export the run's checkpoint and verify the result.

    Returns:
        The file or folder to open, and figures: `bytes` of the result, `bytes_before` of the checkpoint, and those of
        `swift_convert.verify.compare_result`.

    Raises:
        UsageError: the output exists, or the exporter refuses the checkpoint.
        SwiftError: the exporter failed, or the result diverges from its source; no partial output is left.
    """
    out, overwrite = output_path(run, report.folder), bool(run.options.get("overwrite"))
    paths.check_free(out, overwrite=overwrite)
    source, exporter = _subject(run), run.part("exporter")
    report.progress("export", 0, 1)
    with paths.atomic_folder(out, overwrite=overwrite) as folder:
        folder.rmdir()  # the exporter creates its file or folder
        written, traits = in_engine(run, exporter, JOB, report, output=folder)
        assert written is not None
        opened = written.relative_to(folder.absolute())
        report.progress("export", 1, 1)
        figures = {"bytes": paths.size_of(folder), "bytes_before": paths.size_of(Path(source.path))}
        figures |= compare_result(run, source, folder.absolute() / opened, traits, report)
        if folder.is_dir():
            write_manifest(folder, _manifest(run, source, {**figures, "exporter": exporter.name, "options": dict(exporter.options)}))
    return out / opened, figures


def export_job(run: Run, report: Report) -> tuple[Path, dict[str, Any]]:
    """Export to the run's option `output`; return the path to open, and the facts for `compare_result`."""
    exporter = run.part("exporter").build()
    if run.datasets and isinstance(exporter, CalibratingExporter):
        exporter.calibrate(run, report)
    return exporter.export(Path(_subject(run).path), Path(run.options["output"])), traits_of(exporter)


def _subject(run: Run) -> Source:
    """Return the checkpoint to export: the adapter if one is given, else the model."""
    found = next(iter(run.adapters.values()), run.model)
    if found is None:
        raise UsageError("no model given", code="CONVERT-018", where="model", hint="Give a checkpoint: swift export CHECKPOINT --to NAME.")
    return found


def _manifest(run: Run, source: Source, figures: dict[str, Any]) -> Manifest:
    """Return the manifest of the export, derived from that of the source."""
    before = Checkpoint.at(source.path).manifest or Manifest()
    exporter = run.part("exporter")
    return replace(
        before,
        origin="export",
        base=before.base if run.adapters else {"reference": source.reference, "hash": source.hash, "path": source.path},
        family=source.family or before.family,
        figures=figures,
        versions={"swift-core": __version__, exporter.distribution: exporter.version},
    )
