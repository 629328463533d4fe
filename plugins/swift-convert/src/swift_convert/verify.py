"""An export compared with its source: what it predicts and how it splits text, asked of the engine that will serve it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_convert.verify_worker import answer
from swift_core.contract.errors import SwiftError
from swift_core.contract.specs import Ref
from swift_core.plugins.registry import registry
from swift_core.runs.engine_worker import elsewhere, run_apart

if TYPE_CHECKING:
    from swift_core.contract.run import Run, Source
    from swift_core.runs.events import Report

HERE = Ref("swift_convert.verify_worker:answer_here")
FOLDER = "verify"  # in the run folder, of the worker in the engine's environment


class Result:
    """What an exporter has written, to be asked by a loader's `verifying`; `opened` is what the exporter's `export` returned."""

    def __init__(self, run: Run, opened: Path, report: Report) -> None:
        self._run, self._opened, self._report = run, opened, report

    def answer(self, questions: Path, logits: Path) -> Mapping[str, Any]:
        """Answer a file of questions where the engine is; arguments and figures are those of `swift_convert.verify_worker.answer`.

        Raises:
            NotImplementedError: the engine can't load it.
            SwiftError: it failed.
        """
        exporter = self._run.part("exporter")
        if not elsewhere(exporter):
            return answer(exporter.build(), self._opened, questions, logits, trusted=bool(self._run.options.get("trust_remote_code")))
        files = {"exported": str(self._opened), "questions": str(questions.absolute()), "logits": str(logits.absolute())}
        there = replace(self._run, job=HERE, options={**self._run.options, **files})
        found = run_apart(there, exporter.python, self._report, FOLDER)[1]
        if "refused" in found:
            raise NotImplementedError(found["refused"])
        return found


def traits_of(exporter: Any) -> dict[str, Any]:
    """What has to be known of an exporter that has worked elsewhere: its limit where it can load what it writes, and what it `checked`.

    One whose results are no models, and predict nothing, has an attribute `predicts` that is false.
    """
    if not getattr(exporter, "predicts", True):
        return {"predicts": False}
    limit = {"max_kl": exporter.max_kl} if hasattr(exporter, "load") else {}
    checked = getattr(exporter, "checked", None)
    return {**limit, "checked": dict(checked)} if checked else limit


def prove(run: Run, source: Source, opened: Path, traits: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Compare what an exporter has written with its source, unless the run says not to.

    Args:
        run: the export.
        source: what was exported.
        opened: what the exporter's `export` returned.
        traits: what `traits_of` says of the exporter.
        report: where a note goes that says why nothing was compared.

    Returns:
        What the loader found, or the exporter, where it has compared both itself; `verified` says whether anything was compared.

    Raises:
        SwiftError: the result is farther from its source than is allowed.
    """
    if checked := traits.get("checked"):
        report.note(f"{run.part('exporter').name} has compared the result with its source itself; next tokens are not compared")
        return {"verified": True, **checked}
    if not (traits.get("predicts", True) and (limits := limits_of(run))):
        return {}
    report.progress("verify", 0, 1)
    try:
        _check_comparable(run, traits)
        verifying = _verifying(source.format)
        trusted = bool(run.options.get("trust_remote_code"))
        result = Result(run, opened, report)
        figures = verifying.load()(source, result, tokens=limits["tokens"], scratch=report.folder, trust_remote_code=trusted)
    except NotImplementedError as reason:
        report.note(f"WARNING: not verified: {reason}")
        return {"verified": False}
    judge(figures, limits["max_kl"] or traits["max_kl"], source.path, "A type with more bits loses less.")
    report.progress("verify", 1, 1)
    return {"verified": True, **figures}


def limits_of(run: Run) -> Mapping[str, Any]:
    """What a run asks of the comparison that it ends with: the fields of `VerifyOptions`; nothing where none is wanted."""
    from swift_core.verb_options import VerifyOptions

    asked = run.options.get("verify", True)
    if asked is False:
        return {}
    return asked if isinstance(asked, Mapping) else VerifyOptions().model_dump()


def judge(figures: Mapping[str, Any], max_kl: float, where: str, less: str, what: str = "the result is too far from its source") -> None:
    """Hold what was found to the limit.

    Args:
        less: what loses less, for the user who is told.
        what: what it means where the limit is passed.

    Raises:
        SwiftError: it is passed, or the result is no number.
    """
    if not figures["kl"] <= max_kl:  # a NaN is no proof either
        raise SwiftError(
            f"{what}: it diverges by {figures['kl']:.3g} nats a token, allowed are {max_kl:g} "
            f"(perplexity {figures['perplexity_before']:.4g} → {figures['perplexity']:.4g})",
            where=where,
            hint=f"{less} --verify.max-kl sets the limit, --no-verify leaves the comparison out.",
        )


def _check_comparable(run: Run, traits: Mapping[str, Any]) -> None:
    if run.adapters:
        raise NotImplementedError("an adapter alone predicts nothing")
    if not traits:
        raise NotImplementedError(f"{run.part('exporter').name} has no engine here that loads what it writes")


def _verifying(form: str) -> Ref:
    found: Ref | None = next((spec.verifying for spec in registry().all("loader") if spec.verifying and form in spec.reads), None)
    if found is None:
        raise NotImplementedError(f"no installed plugin loads {form} checkpoints to compare it with")
    return found
