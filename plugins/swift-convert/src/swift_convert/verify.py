"""Verify an export: compare its next-token predictions and its tokenisation with its source, in the engine that will serve it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_engines.worker import in_engine

from swift_convert.roles import CheckingExporter, LoadableExporter
from swift_core.contract import ExporterSpec, LoaderSpec, Ref, SwiftError
from swift_core.plugins import registry

if TYPE_CHECKING:
    from swift_convert.roles import Exporter
    from swift_core.contract import Run, Source
    from swift_core.runs import Report

JOB = Ref("swift_convert.verify_worker:answer_job")
FOLDER = "verify"  # subfolder of the run folder, for the worker in the engine's environment


class Result:
    """The result of an exporter, passed to a loader's `verifier`; `opened` is the path that the exporter's `export` returned."""

    def __init__(self, run: Run, opened: Path, report: Report) -> None:
        self._run, self._opened, self._report = run, opened, report

    def answer(self, questions: Path, logits: Path) -> Mapping[str, Any]:
        """Answer a file of questions in the engine's environment; arguments and figures as in `swift_convert.verify_worker.answer`.

        Raises:
            NotImplementedError: the engine can't load the result.
            SwiftError: the engine failed.
        """
        exporter, opened = self._run.part("exporter"), self._opened
        _, found = in_engine(self._run, exporter, JOB, self._report, folder=FOLDER, exported=opened, questions=questions, logits=logits)
        if "refused" in found:
            raise NotImplementedError(found["refused"])
        return found


def traits_of(exporter: Exporter) -> dict[str, Any]:
    """Return the facts that the verifier needs about an exporter that ran in another process.

    These are its KL limit `max_kl` if it can load its results, and its own verification figures `checked`, if it has any.
    """
    limit = {"max_kl": exporter.max_kl} if isinstance(exporter, LoadableExporter) else {}
    checked = exporter.checked if isinstance(exporter, CheckingExporter) else {}
    return {**limit, "checked": dict(checked)} if checked else limit


def compare_result(run: Run, source: Source, opened: Path, traits: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Verify the result of an exporter against its source, unless the run disables that.

    Args:
        run: the export.
        source: the exported checkpoint.
        opened: the path that the exporter's `export` returned.
        traits: the exporter's facts, from `traits_of`.
        report: receives progress, and a note with the reason if nothing was compared.

    Returns:
        The figures of the loader, or of the exporter if it has verified the result itself; `verified` is true if it was compared.

    Raises:
        SwiftError: the divergence from the source exceeds the limit.
    """
    if checked := traits.get("checked"):
        report.note(f"{run.part('exporter').name} has verified the result itself; next tokens are not compared")
        return {"verified": True, **checked}
    if not (registry().spec(run.part("exporter"), ExporterSpec).predicts and (limits := limits_of(run))):
        return {}
    report.progress("verify", 0, 1)
    try:
        _check_comparable(run, traits)
        verifier = _verifier(source.format)
        trusted = bool(run.options.get("trust_remote_code"))
        result = Result(run, opened, report)
        figures = verifier.load()(source, result, tokens=limits["tokens"], scratch=report.folder, trust_remote_code=trusted)
    except NotImplementedError as reason:
        report.note(f"WARNING: not verified: {reason}")
        return {"verified": False}
    require_divergence_below(figures, limits["max_kl"] or traits["max_kl"], source.path, "A type with more bits diverges less.")
    report.progress("verify", 1, 1)
    return {"verified": True, **figures}


def limits_of(run: Run) -> Mapping[str, Any]:
    """Return the verification options of a run (the fields of `VerifyOptions`), or {} if verification is disabled."""
    from swift_convert.options import VerifyOptions

    asked = run.options.get("verify", True)
    if asked is False:
        return {}
    return asked if isinstance(asked, Mapping) else VerifyOptions().model_dump()


def require_divergence_below(
    figures: Mapping[str, Any], max_kl: float, where: str, less: str, what: str = "the result is too far from its source"
) -> None:
    """Check the KL divergence against its limit.

    Args:
        figures: the results: `kl`, `perplexity` and `perplexity_before`.
        max_kl: the maximum divergence, in nats per token.
        where: the place of the error.
        less: a hint on how to get a lower divergence.
        what: the meaning of an exceeded limit, as the beginning of the message.

    Raises:
        SwiftError: the limit is exceeded, or the divergence is NaN.
    """
    if not figures["kl"] <= max_kl:  # also true for NaN
        raise SwiftError(
            f"{what}: the KL divergence is {figures['kl']:.3g} nats per token, the limit is {max_kl:g} "
            f"(perplexity {figures['perplexity_before']:.4g} → {figures['perplexity']:.4g})",
            code="CONVERT-030",
            where=where,
            hint=f"{less} Change the limit with --verify.max-kl, or skip the comparison with --no-verify.",
        )


def _check_comparable(run: Run, traits: Mapping[str, Any]) -> None:
    if run.adapters:
        raise NotImplementedError("an adapter alone predicts nothing")
    if "max_kl" not in traits:
        raise NotImplementedError(f"{run.part('exporter').name} has no engine here that loads its results")


def _verifier(form: str) -> Ref:
    found = next((spec.verifier for spec in registry().all(LoaderSpec) if spec.verifier and form in spec.reads), None)
    if found is None:
        raise NotImplementedError(f"no installed plugin loads {form} checkpoints to compare it with")
    return found
