"""The job of `swift export`: a checkpoint in another format, in a folder that is there whole or not at all.

An exporter whose engine has an environment of its own works in a worker there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_convert.verify import prove, traits_of
from swift_core import __version__
from swift_core.checkpoints.manifest import Manifest, read_manifest, write_manifest
from swift_core.contract.errors import UsageError
from swift_core.contract.run import output_path
from swift_core.contract.specs import Problem, Ref
from swift_core.system import paths

if TYPE_CHECKING:
    from swift_core.contract.run import Run, Source
    from swift_core.plugins.registry import Registry
    from swift_core.runs.events import Report

HERE = Ref("swift_convert.export:export_here")


def problems(run: Run, known: Registry) -> Iterator[Problem]:
    """Why the exporter can't take what the run names, before anything is started."""
    if "exporter" not in run.parts or run.model is None:
        return
    spec = known.spec(run.part("exporter"))
    if len(run.adapters) > 1:
        yield Problem(where="adapter", message="only one adapter can be exported at a time", hint="Name one of them.")
    elif run.adapters and "adapter" not in spec.reads:
        yield Problem(
            where="model",
            message=f"{spec.name} takes a whole model, and '{_subject(run).reference}' is an adapter",
            hint=f"Merge it first: swift merge {_subject(run).path}; then export the merged model.",
        )
    elif not run.adapters and run.model.format not in spec.reads:
        message = f"{spec.name} reads {' and '.join(spec.reads)} checkpoints, and '{run.model.reference}' is {run.model.format}"
        first = [other.name for other in known.all("exporter") if other.writes in spec.reads and run.model.format in other.reads]
        hint = f"Export it first: --to {' or '.join(first)}." if first else "Name the checkpoint that it was made from."
        yield Problem(where="model", message=message, hint=hint)
    if spec.calibrates and not run.datasets:
        hint = "Name rows like those that the model will see: --dataset FILE."
        yield Problem(where="dataset", message=f"{spec.name} needs rows to calibrate with", hint=hint)
    elif run.datasets and not spec.calibrates:
        yield Problem(where="dataset", message=f"{spec.name} looks at the weights alone; the rows are not used", fatal=False)


def export(run: Run, report: Report) -> tuple[Path, dict[str, Any]]:
    """Write what the run names with its exporter.

    Returns:
        The file or folder that a reader opens, and figures: `bytes` of what was written, `bytes_before` of the checkpoint, and what
        `swift_convert.verify.prove` found.

    Raises:
        UsageError: the output exists, or the exporter refuses the checkpoint.
        SwiftError: the exporter failed, or wrote something else than the checkpoint; nothing half-written is left.
    """
    out, overwrite = output_path(run, report.folder), bool(run.options.get("overwrite"))
    paths.check_free(out, overwrite=overwrite)
    source, exporter = _subject(run), run.part("exporter")
    report.progress("export", 0, 1)
    with paths.atomic_folder(out, overwrite=overwrite) as folder:
        folder.rmdir()  # an exporter makes what it writes to
        opened, traits = _written(run, source, folder, report)
        report.progress("export", 1, 1)
        figures = {"bytes": paths.size_of(folder), "bytes_before": paths.size_of(Path(source.path))}
        figures |= prove(run, source, folder.absolute() / opened, traits, report)
        if folder.is_dir():
            write_manifest(folder, _manifest(run, source, {**figures, "exporter": exporter.name, "options": dict(exporter.options)}))
    return out / opened, figures


def export_here(run: Run, report: Report) -> tuple[Path, dict[str, Any]]:
    """Write what the run names to its `output`, with the engine that this very Python has; what `prove` has to know of the exporter."""
    from swift_core.runs.engine_worker import end_when_stopped

    end_when_stopped(report)
    exporter = run.part("exporter").build()
    return exporter.export(Path(_subject(run).path), Path(run.options["output"])), traits_of(exporter)


def _written(run: Run, source: Source, folder: Path, report: Report) -> tuple[Path, Mapping[str, Any]]:
    """What a reader opens, relative to `folder`, which the exporter has written; and what `prove` has to know of the exporter."""
    from swift_core.runs.engine_worker import elsewhere, run_apart

    exporter = run.part("exporter")
    traits: Mapping[str, Any]
    if elsewhere(exporter):
        there = replace(run, job=HERE, options={**run.options, "output": str(folder.absolute())})
        opened, traits = run_apart(there, exporter.python, report)
    else:
        built = exporter.build()
        if run.datasets and hasattr(built, "calibrate"):
            built.calibrate(run, report)
        opened, traits = built.export(Path(source.path), folder.absolute()), traits_of(built)
    return Path(opened).relative_to(folder.absolute()), traits


def _subject(run: Run) -> Source:
    """What is exported: the adapter where one is named, else the model."""
    found = next(iter(run.adapters.values()), run.model)
    if found is None:
        raise UsageError("nothing to export", where="model", hint="Name a checkpoint: swift export CHECKPOINT --to NAME.")
    return found


def _manifest(run: Run, source: Source, figures: dict[str, Any]) -> Manifest:
    """What is known of the source, for the folder that was made of it."""
    before = read_manifest(Path(source.path)) or Manifest()
    exporter = run.part("exporter")
    return replace(
        before,
        origin="export",
        base=before.base if run.adapters else {"reference": source.reference, "hash": source.hash, "path": source.path},
        family=source.family or before.family,
        figures=figures,
        versions={"swift-core": __version__, exporter.distribution: exporter.version},
    )
