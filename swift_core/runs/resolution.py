"""Resolve settings to a run: everything is found, validated and checked before anything heavy is imported.

Cheap checks come first (options, names, data files), then what must be downloaded, then the checks of the verb and of the plugins. All
problems of a stage are reported together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from swift_core.checkpoints import Checkpoint, Fetcher, check_base
from swift_core.contract import (
    BackendSpec,
    ExporterSpec,
    HubSpec,
    Problems,
    Progress,
    Run,
    Settings,
    SwiftError,
    UsageError,
    VerbSpec,
    __version__,
    suggestion,
)
from swift_core.options import adopt, fields, listed, normalise
from swift_core.plugins import Registry, local, registry
from swift_core.runs import outputs, provenance, reservation
from swift_core.runs.choose import job_of, options_and_parts, with_engines
from swift_core.runs.convert import converted
from swift_core.runs.draft import Draft
from swift_core.system import offline_if, paths


@dataclass(frozen=True, slots=True)
class Resolved:
    """A run, and notes for the user to read before it starts."""

    run: Run  # the frozen run
    notes: tuple[str, ...]  # texts for the user


def resolve(verb: VerbSpec, settings: Settings, *, progress: Progress | None = None, using: Registry | None = None) -> Resolved:
    """Resolve the settings of a verb to a run.

    Raises:
        UsageError: with every problem that one pass can find.
        SwiftError: a download failed.
    """
    known = using or registry()
    settings, renamed = _adopted(verb, settings, known)
    provenance.check_resume(settings.values.get("resume"))
    options, parts = options_and_parts(verb, settings, known)
    if lacking := sorted({"offline", *(["runs"] if verb.records else [])} - options.keys()):
        problem = f"the options of the verb '{verb.name}' lack {', '.join(lacking)}"
        raise SwiftError(problem, code="RUN-027", where=verb.options, hint="Derive them from swift_core.options.RunOptions.")
    _check_hub(settings, known)
    _check_output(verb, options, settings)
    parts = with_engines(verb, options, parts, known, settings)
    draft = Draft(verb=verb, settings=settings, known=known, options=options, parts=parts, progress=progress, notes=renamed)
    with offline_if(options["offline"]):
        for step in verb.prepare:
            step.load()(draft)
        _fetch(draft)
    if "loader" in draft.parts and not settings.values.get("loader"):
        sources = [*draft.adapters.values(), *([draft.model] if draft.model else ())]
        draft.parts["loader"] = provenance.recorded_loader(sources, known) or draft.parts["loader"]
    for step in verb.complete:
        step.load()(draft)
    run = _frozen(draft)
    return Resolved(run, (*draft.notes, *provenance.notes(run), *_check(run, draft)))


def check_options(verb: VerbSpec, settings: Settings) -> None:
    """Check the options and parts of a verb, and that the engines of the parts are installed. Nothing is fetched.

    Raises:
        UsageError: as for `resolve`.
    """
    known = registry()
    settings, _ = _adopted(verb, settings, known)
    with_engines(verb, *options_and_parts(verb, settings, known), known, settings)


def _adopted(verb: VerbSpec, settings: Settings, known: Registry) -> tuple[Settings, list[str]]:
    """Return the settings in our own names, with notes on others; without a model, it is the base of the first adapter."""
    settings = replace(settings, values=normalise(settings.values))
    renamed = adopt(settings, verb, known)
    values, own = settings.values, {field.path for field in fields.fields(verb.options)}
    if (adapters := listed(values.get("adapter"))) and {"adapter", "model"} <= own and not (values.get("model") or values.get("url")):
        values["model"] = str(adapters[0]).rpartition("=")[2]
    return settings, renamed


def _check_hub(settings: Settings, known: Registry) -> None:
    """Check that the hub exists, even if nothing is fetched from it."""
    hub, schemes = settings.values.get("hub"), sorted(scheme for spec in known.all(HubSpec) for scheme in spec.schemes)
    if hub and hub not in schemes:
        hint = suggestion(hub, schemes) or f"Known: {', '.join(schemes)}."
        raise UsageError(f"there is no hub '{hub}'", code="RUN-021", where=settings.where("hub"), hint=hint)


def _check_output(verb: VerbSpec, options: dict[str, object], settings: Settings) -> None:
    """Check that the output is free, and that no other run is writing it. Answers and shards are checked by their job, which may resume."""
    if verb.gives not in ("answers", "shards") and "overwrite" in options and options.get("output") and not options.get("resume"):
        output = Path(str(options["output"]))
        reservation.check_unheld(output, where=settings.where("output"))
        paths.check_free(output, overwrite=bool(options["overwrite"]), where=settings.where("output"))


def _fetch(draft: Draft) -> None:
    """Fetch the base model and its adapters, and set in the options whether the model's own code is trusted."""
    options, settings, known = draft.options, draft.settings, draft.known
    if not options.get("model"):
        options["trust_remote_code"] = False
        return
    backend, exporter, loader = (draft.parts.get(part) for part in ("backend", "exporter", "loader"))
    reads = known.spec(backend, BackendSpec).reads if backend else known.spec(exporter, ExporterSpec).reads if exporter else ()
    fetcher = Fetcher(
        known,
        loader=loader,
        reads=reads,
        reader=backend.name if backend else "",
        hub=options["hub"],
        family=options.get("family", ""),
        trusted=tuple(options.get("trust_remote_code", ())),
        progress=draft.progress,
        convert=converted,
    )
    draft.model, draft.adapters = fetcher.model(options["model"], settings.where("model"))
    for item in options.get("adapter", ()):
        name, _, place = item.rpartition("=")
        where = settings.where("adapter")
        source = fetcher.source(place, where)
        draft.adapters = {known: other for known, other in draft.adapters.items() if other.path != source.path}  # it named its base
        name = name or ("adapter" if not draft.adapters else f"adapter-{len(draft.adapters) + 1}")
        if not Checkpoint.at(source.path).spec.adapter:
            message = f"'{place}' is a {source.format} checkpoint, not an adapter"
            raise UsageError(message, code="RUN-022", where=where, hint="Pass a complete model as --model.")
        draft.adapters[name] = source
    if not options.get("allow_other_base"):
        for source in draft.adapters.values():
            check_base(Path(source.path), draft.model, fetcher.notes.append)
    options["trust_remote_code"] = fetcher.trusts(fetcher.reference(options["model"]))
    draft.notes += fetcher.notes


def _frozen(draft: Draft) -> Run:
    interrupted = provenance.interrupted_run(draft.options.get("resume"))
    return Run(
        verb=draft.verb.name,
        job=job_of(draft.verb, draft.parts, draft.known),
        model=draft.model,
        adapters=draft.adapters,
        options=draft.options,
        parts=draft.parts,
        datasets=draft.datasets,
        validation=draft.validation,
        versions={"swift-core": __version__, **local.versions()},
        plugins=tuple(map(str, local.local_plugins())),
        without_effect=draft.verb.options.load().without_effect(),
        date=(interrupted.date if interrupted else "") or date.today().isoformat(),
    )


def _check(run: Run, draft: Draft) -> list[str]:
    """Run the checks of the core, the verb and the plugins; return the problems that are not fatal."""
    problems = [*outputs.problems(run)]
    problems += draft.verb.check.load()(run, draft.known) if draft.verb.check else ()
    for _, answer in draft.known.plugins.ask("swift_check", run=run):
        problems += list(answer or ())
    where = draft.settings.where
    fatal: list[SwiftError] = [
        UsageError(item.message, code=item.code, where=where(item.where), hint=item.hint) for item in problems if item.fatal
    ]
    Problems.raise_any(fatal)
    return [f"{item.where}: {item.message}" for item in problems]
