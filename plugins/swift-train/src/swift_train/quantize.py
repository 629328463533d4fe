"""The job of `swift quantize`: write a checkpoint with quantized weights and verify it against its source; on failure, write nothing.

An offline quantizer writes the folder itself, in a worker of its engine's environment if it has one. A load-time quantizer quantizes while
the model is loaded in this process, and the model is then saved.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import safe_open
from swift_convert.quantize import JOB
from swift_convert.verify import limits_of, require_divergence_below
from swift_engines.worker import in_engine
from swift_formats.cross_encoder import copy_logit_score
from swift_formats.files import copy_licence
from swift_formats.weights import weight_files

from swift_core.checkpoints import Checkpoint, Manifest, family_of, write_manifest
from swift_core.contract import Choice, QuantizerSpec, Run, UsageError
from swift_core.plugins import registry
from swift_core.system import atomic_folder, check_free, output_path
from swift_train.build import base_of, load_base, load_with
from swift_train.calibration import calibration_rows, write_rows
from swift_train.devices import pick_device, pick_dtype
from swift_train.maker_record import maker_record
from swift_train.processors import tokenizer_of
from swift_train.save_model import versions, write_model
from swift_train.template_facts import generation_facts, golden, template_facts
from swift_train.verify import MAX_KL, compare, held_out_text
from swift_train.verify_worker import PREDICT_JOB
from swift_train.weights import check_weights, stored_dtype

if TYPE_CHECKING:
    from swift_core.contract import QuantizerSpec
    from swift_core.runs import Report
    from swift_train.roles import Loaded


def quantize(run: Run, report: Report) -> tuple[Path, dict[str, Any]]:
    """Quantize the run's model.

    Returns:
        The folder, and figures: those of `swift_train.verify.compare`, unless verification is off, and the quantizer's own.

    Raises:
        UsageError: the output exists, a weight is not finite, the calibration set is too small, or the quantizer refuses the model.
        SwiftError: the engine failed, or the result is too far from its source; the output folder is not created.
    """
    out, overwrite = output_path(run, report.folder), bool(run.options.get("overwrite"))
    check_free(out, overwrite=overwrite)
    source = Path(base_of(run).path)
    check_weights(source)
    check_finite(source)
    plain = replace(run, parts={kind: choice for kind, choice in run.parts.items() if kind != "quantizer"})
    shapes = load_base(plain, "meta")
    rows = _calibration(plain, run, shapes, report)
    held_out = _held_out(plain, shapes, report)
    with atomic_folder(out, overwrite=overwrite) as folder:
        report.progress("quantize", 0, 1)
        figures, own_reader = _write(run, folder, rows, report)
        copy_licence(source, folder)
        copy_logit_score(source, folder)
        report.progress("quantize", 1, 1)
        if held_out:
            report.progress("verify", 0, 1)
            figures |= _verified(run, source, folder, held_out, report, own_reader=own_reader)
            report.progress("verify", 1, 1)
        write_manifest(folder, _manifest(run, shapes, figures))
    return out, figures


def check_finite(folder: Path) -> None:
    """Check that every weight of a checkpoint is finite.

    Raises:
        UsageError: a weight has NaN or infinite values; names the first one.
    """
    for file in weight_files(folder):
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (not a dict)
                if not tensors.get_tensor(name).isfinite().all():
                    hint = "The training that wrote it diverged: use an earlier checkpoint."
                    raise UsageError(f"the weight {name} has values that are not finite", code="TRAIN-054", where=str(file), hint=hint)


def _spec(run: Run) -> QuantizerSpec:
    return registry().spec(run.part("quantizer"), QuantizerSpec)


def _calibration(plain: Run, run: Run, shapes: Loaded, report: Report) -> Path | None:
    """Write the calibration set into the run folder and return its path; None for a quantizer that needs no calibration."""
    if not _spec(run).calibrates:
        return None
    file = report.folder / "calibration.jsonl"
    write_rows(calibration_rows(plain, run.datasets, shapes, report, **run.options["calibration"], where="calibration.tokens"), file)
    return file.absolute()


def _held_out(plain: Run, shapes: Loaded, report: Report) -> list[Any]:
    """Return the token ids to compare on, per row; empty if verification is off."""
    if not (limits := limits_of(plain)):
        return []
    if plain.validation:
        max_length = plain.options["calibration"]["max_length"]
        return calibration_rows(
            plain, plain.validation, shapes, report, tokens=limits["tokens"], max_length=max_length, seed=0, where="verify.tokens"
        )
    return held_out_text(tokenizer_of(shapes.processor), limits["tokens"])


def _write(run: Run, folder: Path, rows: Path | None, report: Report) -> tuple[dict[str, Any], bool]:
    """Write the quantized weights; return the quantizer's figures, and whether only its own environment can load them."""
    if _spec(run).when == "load":
        return _saved(run, folder), False
    folder.rmdir()  # an offline quantizer creates its output folder
    expected = ("figures", "own_reader")
    result = in_engine(run, _with_family_skips(run), JOB, report, expected=expected, output=folder, calibration=rows or "")[1]
    return dict(result["figures"]), result["own_reader"]


def _with_family_skips(run: Run) -> Choice:
    """Return the quantizer with the family's modules added to its option `skip`: its own environment has no model families."""
    choice, family = run.part("quantizer"), family_of(base_of(run))
    if "skip" not in choice.options:
        return choice
    towers = [prefix for prefix in (family.vision_tower, family.aligner) if prefix]
    return replace(choice, options={**choice.options, "skip": [*family.skip_quantization, *towers, *choice.options["skip"]]})


def _saved(run: Run, folder: Path) -> dict[str, Any]:
    """Load the model quantized, and save it."""
    choice, stored = run.part("quantizer"), stored_dtype(Path(base_of(run).path))
    dtype = run.options.get("dtype", "auto")
    dtype = stored if dtype == "auto" else dtype
    loaded = load_with(run, device=pick_device(run.options.get("device", "auto")), dtype=dtype, quantizer=choice)
    try:
        write_model(folder, loaded.model, loaded.processor)
    except (NotImplementedError, ValueError) as error:
        problem = f"weights quantized by {choice.name} can't be saved: {str(error).splitlines()[0]}"
        raise UsageError(
            problem, code="TRAIN-055", where="quantizer", hint="Use it as a load-time quantizer, in training and serving."
        ) from error
    return {}


def _verified(run: Run, source: Path, folder: Path, rows: list[Any], report: Report, *, own_reader: bool) -> dict[str, float]:
    device = pick_device(run.options.get("device", "auto"))
    dtype = pick_dtype(run.options.get("dtype", "auto"), device, stored_dtype(source))
    loading = {"family": base_of(run).family, "trust_remote_code": bool(run.options.get("trust_remote_code"))}
    loading["loader"] = run.parts.get("loader")
    predict_there = partial(_predicted, run, folder, report) if own_reader else None
    figures = compare(source, folder, rows, device=device, dtype=dtype, scratch=report.folder, predict=predict_there, **loading)
    max_kl = limits_of(run)["max_kl"] or MAX_KL[8 if _bits(run) >= 8 else 4]
    require_divergence_below(figures, max_kl, str(source), "Use more bits, smaller groups, or calibration rows closer to the intended use.")
    return figures


def _predicted(run: Run, folder: Path, report: Report, rows: Sequence[Sequence[int]], out: Path) -> float:
    """Write the result's logits for each row into the folder `out`, in its engine's environment; return the seconds to load it."""
    file = out.with_suffix(".jsonl")
    file.write_text("".join(json.dumps({"ids": list(map(int, row))}) + "\n" for row in rows), encoding="utf-8")
    choice, expected = run.part("quantizer"), ("load_seconds",)
    _, figures = in_engine(run, choice, PREDICT_JOB, report, folder="verify", expected=expected, checkpoint=folder, rows=file, output=out)
    return float(figures["load_seconds"])


def _bits(run: Run) -> int:
    return int(run.part("quantizer").options.get("bits") or max(_spec(run).bits))


def _manifest(run: Run, shapes: Loaded, figures: dict[str, Any]) -> Manifest:
    """Return the source's manifest with the quantizer and its figures."""
    source, choice = base_of(run), run.part("quantizer")
    before = Checkpoint.at(source.path).manifest or Manifest()
    return replace(
        before,
        origin="quantize",
        base={"reference": source.reference, "hash": source.hash, "path": source.path},
        family=family_of(source).name,
        dtype=before.dtype or stored_dtype(Path(source.path)),
        quantizer={"name": choice.name, "format": _spec(run).format, "bits": _bits(run), "options": dict(choice.options)},
        loader=maker_record(run.parts.get("loader")),
        template=before.template or template_facts(shapes.processor),
        golden=before.golden or golden(shapes.processor),
        generation=before.generation or generation_facts(shapes.model, shapes.processor),
        figures=figures,
        versions=versions(run),
    )
