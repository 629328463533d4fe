"""Settings → Run: everything asked for is found, validated and checked before anything heavy is imported.

Cheap checks come first (options, names, data files), then what must be downloaded, then the plugins' own `swift_check`. All
problems of a stage are shown together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from swift_core import __version__
from swift_convert import export, quantize
from swift_core.plugins import local
from swift_core.runs import provenance, outputs, reservation, space
from swift_core.system import paths
from swift_core.options import fields
from swift_core.checkpoints.lineage import check_base
from swift_core.options.settings import Settings, normalise
from swift_data.choices import choose_dataset, fetch_dataset
from swift_hub.downloads import offline_if
from swift_core.contract.errors import SwiftError, UsageError, suggestion
from swift_core.checkpoints.fetch import Fetcher
from swift_core.runs.recorded_loader import recorded_loader
from swift_core.options.model import Invalid, validate
from swift_core.contract.reference import parse
from swift_core.plugins.registry import Registry, registry
from swift_core.contract.roles import Progress
from swift_core.contract.run import Choice, DataChoice, Run, Source
from swift_core.contract.specs import Problem, Ref
from swift_core.verbs import Verb


class Problems(UsageError):
    """Several things are wrong at once."""

    def __init__(self, errors: list[SwiftError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Resolved:
    """A run, and what the user should read before it starts."""

    run: Run
    notes: tuple[str, ...]


def resolve(verb: Verb, settings: Settings, *, progress: Progress | None = None, using: Registry | None = None) -> Resolved:
    """Resolve what was asked for.

    Raises:
        UsageError: with every problem that one pass can find.
        SwiftError: a download failed.
    """
    known = using or registry()
    settings.values = normalise(settings.values)
    provenance.check_resume(settings.values.get("resume"))
    options, parts = _options_and_parts(verb, settings, known)
    _engines(verb, options, parts, known, settings)
    _check_hub(settings, known)
    if options.get("output") and "overwrite" in options and verb.name != "ask" and not options.get("resume"):
        reservation.check_unheld(Path(options["output"]), where=settings.where("output"))
        paths.check_free(Path(options["output"]), overwrite=options["overwrite"], where=settings.where("output"))
    with offline_if(options["offline"]):
        streaming = bool(options.get("data", {}).get("streaming"))
        datasets = _datasets(settings, options.pop("dataset", None), known, "dataset", progress, hub=options["hub"], streaming=streaming)
        validation = _datasets(settings, options.pop("val_dataset", None), known, "val_dataset", progress, hub=options["hub"])
        fetcher = Fetcher(
            known,
            loader=parts.get("loader"),
            reads=_reads(parts, known),
            reader=parts["backend"].name if "backend" in parts else "",
            hub=options["hub"],
            family=options.get("family", ""),
            trusted=tuple(options.get("trust_remote_code", ())),
            progress=progress,
        )
        model, adapters = _model(fetcher, options, settings)
    if "loader" in parts and not settings.values.get("loader"):
        parts["loader"] = recorded_loader([*adapters.values(), *([model] if model else ())], known) or parts["loader"]
    if verb.name == "merge":
        parts["tuner"] = _tuner_of(adapters, known)
    _implied_quantizer(parts, known, settings)
    interrupted = provenance.interrupted_run(options.get("resume"))
    run = Run(
        verb=verb.name,
        job=_job(verb, parts, known),
        model=model,
        adapters=adapters,
        options=options,
        parts=parts,
        datasets=datasets,
        validation=validation,
        versions={"swift-core": __version__, **local.versions()},
        plugins=tuple(map(str, local.local_plugins())),
        date=(interrupted.date if interrupted else "") or date.today().isoformat(),
    )
    return Resolved(run, (*fetcher.notes, *provenance.notes(run), *_check(run, known, settings)))


def _check_hub(settings: Settings, known: Registry) -> None:
    """Refuse a hub that nobody has, even if nothing is fetched from it."""
    hub, schemes = settings.values.get("hub"), sorted(scheme for spec in known.all("hub") for scheme in spec.schemes)
    if hub and hub not in schemes:
        hint = suggestion(hub, schemes) or f"Known: {', '.join(schemes)}."
        raise UsageError(f"there is no hub '{hub}'", where=settings.where("hub"), hint=hint)


def _options_and_parts(verb: Verb, settings: Settings, known: Registry) -> tuple[dict[str, Any], dict[str, Choice]]:
    values = dict(settings.values)
    values.pop("run", None)
    values.pop("dataset_options", None)  # by `_datasets`
    errors: list[SwiftError] = []
    parts: dict[str, Choice] = {}
    main_fields: set[str] = set()
    asked: dict[str, Any] = {part: values.pop(part, None) for part in verb.parts if part not in verb.fixed}
    for part, default in verb.parts.items():
        given = asked.get(part)
        chosen = dict(given) if isinstance(given, Mapping) else {"name": given} if given not in (None, "") else {}
        asked_for, origin = str(chosen.pop("name", "")), str(chosen.pop("from", ""))
        name, origin = asked_for or default, origin or ("" if asked_for else known.owner(part, default))
        if not name:
            if chosen or part == verb.main:
                where = settings.where(f"{part}.{next(iter(chosen))}") if chosen else part
                names = ", ".join(spec.name for spec in known.all(part)) or "none is installed"
                hint = f"Add --{verb.flags.get(part, part)} NAME: {names}."
                errors.append(UsageError(f"which {part}?", where=where, hint=hint))
            continue
        try:
            if part == verb.main:
                spec = known.entry(part, name, origin=origin, where=settings.where(part)).spec
                main_fields = {field.path.partition(".")[0] for field in fields.fields(spec.options)}
                chosen |= {key: values.pop(key) for key in list(values) if key in main_fields}
            parts[part] = known.choose(part, name, chosen, origin=origin, where=settings.where(part))
        except Invalid as invalid:
            prefix = "" if part == verb.main else f"{part}."
            errors += [UsageError(message, where=settings.where(f"{prefix}{path}".rstrip("."))) for path, message in invalid.problems]
        except SwiftError as error:
            errors.append(error)
    options: dict[str, Any] = {}
    own = {field.path.partition(".")[0] for field in fields.fields(verb.options)}
    for key in [key for key in values if key not in own]:
        near = suggestion(key, [*own, *main_fields, *verb.parts])
        errors.append(
            UsageError(
                f"there is no option '{key}' for {verb.name}",
                where=settings.where(key),
                hint=near or f"swift {verb.name} --help lists them.",
            )
        )
        del values[key]
    try:
        options = validate(verb.options.load(), values).model_dump(mode="json")
    except Invalid as invalid:
        errors += [UsageError(message, where=settings.where(path)) for path, message in invalid.problems]
    if errors:
        raise errors[0] if len(errors) == 1 else Problems(errors)
    return options, parts


def _engines(verb: Verb, options: Mapping[str, Any], parts: dict[str, Choice], known: Registry, settings: Settings) -> None:
    """Which interpreter each isolated part has its engine in; nothing is asked of a server that others have started."""
    from swift_core.environments import lookup

    envs = options.get("envs", {})
    lookup.check_names(envs, known, settings.where)
    for part, choice in parts.items():
        spec = known.spec(choice)
        of_no_use = part == "quantizer" and verb.name != "quantize" and spec.when == "offline"  # which is the error to tell
        if getattr(spec, "isolated", False) and not (part == "backend" and options.get("url")) and not of_no_use:
            parts[part] = replace(choice, python=lookup.python_for(known.entry(part, choice.name, origin=choice.plugin), envs))


def _reads(parts: Mapping[str, Choice], known: Registry) -> tuple[str, ...]:
    """The checkpoint formats that need no conversion: those of the backend or exporter, where one is chosen."""
    reader = parts.get("backend") or parts.get("exporter")
    return tuple(known.spec(reader).reads) if reader else ("safetensors",)


def _datasets(
    settings: Settings, asked: Any, known: Registry, key: str, progress: Progress | None, *, hub: str, streaming: bool = False
) -> tuple[DataChoice, ...]:
    given = settings.values.get("dataset_options", {})
    options = {name.replace("_", "-"): value for name, value in given.items()}
    chosen: list[DataChoice] = []
    errors: list[SwiftError] = []
    for index, item in enumerate(asked or ()):
        where = settings.where(f"{key}.{index}") if f"{key}.{index}" in settings.lines else settings.where(key)
        try:
            chosen.append(choose_dataset(known, item, options, where, streaming=streaming, hub=hub))
        except Invalid as invalid:
            errors += [UsageError(message, where=path) for path, message in invalid.problems]
        except SwiftError as error:
            errors.append(error)
    if errors:
        raise errors[0] if len(errors) == 1 else Problems(errors)
    return tuple(fetch_dataset(choice, progress) for choice in chosen)


def _model(fetcher: Fetcher, options: dict[str, Any], settings: Settings) -> tuple[Source | None, dict[str, Source]]:
    """The base and its adapters, and in `options` whether its own code is trusted."""
    if not options.get("model"):
        options["trust_remote_code"] = False
        return None, {}
    base, adapters = fetcher.model(options["model"], settings.where("model"))
    for item in options.get("adapter", ()):
        name, _, place = item.rpartition("=")
        name = name or ("adapter" if not adapters else f"adapter-{len(adapters) + 1}")
        where = settings.where("adapter")
        source = fetcher.source(place, where)
        if source.format != "adapter":
            raise UsageError(f"'{place}' is no adapter: it has no adapter_config.json", where=where, hint="Serve or train it as --model.")
        adapters[name] = source
    if not options.get("allow_other_base"):
        for source in adapters.values():
            check_base(Path(source.path), base, fetcher.notes.append)
    options["trust_remote_code"] = fetcher.trusts(parse(options["model"], hub=fetcher.hub))
    return base, adapters


def _tuner_of(adapters: Mapping[str, Source], known: Registry) -> Choice:
    """The tuner that made the adapter, by its manifest; a plain PEFT folder is taken as LoRA, which reads all PEFT kinds' files."""
    from swift_core.checkpoints.manifest import read_manifest

    if not adapters:
        raise UsageError(
            "there is no adapter to merge", where="model", hint="Name an adapter checkpoint, or --model BASE --adapter FOLDER."
        )
    return provenance.maker(known, "tuner", read_manifest(Path(next(iter(adapters.values())).path)), "lora")


def _implied_quantizer(parts: dict[str, Choice], known: Registry, settings: Settings) -> None:
    tuner = parts.get("tuner")
    implied = known.spec(tuner).implies if tuner else ""
    if tuner and implied and "quantizer" not in parts:
        try:
            parts["quantizer"] = known.default("quantizer", implied, where=settings.where("tuner"))
        except UsageError as error:
            raise UsageError(
                f"the tuner '{tuner.name}' loads the base in few bits, and {error.message}", where=settings.where("tuner"), hint=error.hint
            ) from None


def _job(verb: Verb, parts: Mapping[str, Choice], known: Registry) -> str:
    if verb.job:
        return str(verb.job)
    job: Ref | None = None
    if "task" in parts:
        job = known.spec(parts["parallel"]).trains or known.spec(parts["task"]).trainer
    elif verb.name == "merge":
        tuner = known.spec(parts["tuner"])
        job = tuner.merger
        if job is None:
            raise UsageError(
                f"the tuner '{tuner.name}' leaves nothing to merge", where="tuner", hint="Its checkpoint is a whole model already."
            )
    elif verb.name == "quantize":
        job = known.spec(parts["loader"]).quantizing
        if job is None:
            message = f"the loader '{parts['loader'].name}' can't quantize"
            raise UsageError(message, where="loader", hint="Leave it out: transformers' can.")
    elif verb.name == "load":
        job = known.spec(parts["loader"]).builder
    return str(job or "")


def _check(run: Run, known: Registry, settings: Settings) -> list[str]:
    """The plugins' vetoes; returns the texts of the problems that are no reason to stop."""
    problems = [*outputs.problems(run), *_kinds_of_rows(run, known), *export.problems(run, known), *quantize.problems(run, known)]
    problems += space.problems(run, known)
    for _, answer in known.plugins.ask("swift_check", run=run):
        problems += list(answer or ())
    fatal: list[SwiftError] = [
        UsageError(item.message, where=settings.where(item.where), hint=item.hint) for item in problems if item.fatal
    ]
    if fatal:
        raise fatal[0] if len(fatal) == 1 else Problems(fatal)
    return [f"{item.where}: {item.message}" for item in problems]


def _kinds_of_rows(run: Run, known: Registry) -> Iterable[Problem]:
    if "task" not in run.parts:
        return
    task = known.spec(run.parts["task"])
    for choice in (*run.datasets, *run.validation):
        gives = known.spec(choice).rows
        if gives and not set(gives) & set(task.rows):
            fits = [spec.name for spec in known.all("task") if set(gives) & set(spec.rows)]
            hint = f"Tasks for such rows: {', '.join(fits)}." if fits else "No installed task takes such rows."
            message = f"'{choice.asked}' has {' and '.join(gives)} rows; {task.name} wants {' or '.join(task.rows)} rows"
            yield Problem(where="dataset", message=message, hint=hint)
