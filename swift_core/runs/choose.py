"""Validate the options of a verb, and choose an implementation of each of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from swift_core.contract import Choice, EvaluatorSpec, Problems, QuantizerSpec, Settings, SwiftError, UsageError, VerbSpec, suggestion
from swift_core.options import Invalid, fields
from swift_core.plugins import Registry

_NOT_OPTIONS = ("run", "dataset_options")  # keys of settings that name the verb, and options of datasets


def options_and_parts(verb: VerbSpec, settings: Settings, known: Registry) -> tuple[dict[str, Any], dict[str, Choice]]:
    """Validate the options of a verb and of its parts.

    Raises:
        UsageError: with every unknown, missing or invalid option, and every part that is unknown or not chosen.
    """
    values = {key: value for key, value in settings.values.items() if key not in _NOT_OPTIONS}
    errors: list[SwiftError] = []
    parts: dict[str, Choice] = {}
    main_fields: set[str] = set()
    asked = {part: values.pop(part, None) for part in verb.parts if part not in verb.fixed}
    for part, default in verb.parts.items():
        if part == "backend" and _needs_no_server(verb, settings, parts, known):
            continue
        given = asked.get(part)
        chosen = dict(given) if isinstance(given, Mapping) else {"name": given} if given not in (None, "") else {}
        named, origin = str(chosen.pop("name", "")), str(chosen.pop("from", ""))
        name, origin = named or default, origin or ("" if named else known.owner(part, default))
        if not name:
            if chosen or part == verb.main:
                errors.append(_not_chosen(verb, part, chosen, settings, known))
            continue
        try:
            if part == verb.main:
                spec = known.entry(part, name, origin=origin, where=settings.where(part)).spec
                main_fields = {field.path.partition(".")[0] for field in fields.fields(spec.options)}
                chosen |= {key: values.pop(key) for key in list(values) if key in main_fields}
            parts[part] = known.choose(part, name, chosen, origin=origin, where=settings.where(part))
        except Invalid as invalid:
            prefix = "" if part == verb.main else f"{part}."
            errors += [
                UsageError(message, code=invalid.code, where=settings.where(f"{prefix}{path}".rstrip(".")))
                for path, message in invalid.problems
            ]
        except SwiftError as error:
            errors.append(error)
    options: dict[str, Any] = {}
    own = {field.path.partition(".")[0] for field in fields.fields(verb.options)}
    for key in [key for key in values if key not in own]:
        hint = verb.unsupported.get(key) or suggestion(key, [*own, *main_fields, *verb.parts]) or f"swift {verb.name} --help lists them."
        errors.append(UsageError(f"there is no option '{key}' for {verb.name}", code="RUN-004", where=settings.where(key), hint=hint))
        del values[key]
    try:
        options = verb.options.load().checked(values).model_dump(mode="json")
    except Invalid as invalid:
        errors += [UsageError(message, code=invalid.code, where=settings.where(path)) for path, message in invalid.problems]
    Problems.raise_any(errors)
    return options, parts


def _needs_no_server(verb: VerbSpec, settings: Settings, parts: Mapping[str, Choice], known: Registry) -> bool:
    """Return whether no engine has to be started: a running server is named, or the evaluator loads the checkpoint itself."""
    inline = "evaluator" in parts and known.spec(parts["evaluator"], EvaluatorSpec).over == "inline"
    return "server" in verb.takes and (bool(settings.values.get("url")) or inline)


def with_engines(
    verb: VerbSpec, options: Mapping[str, Any], parts: Mapping[str, Choice], known: Registry, settings: Settings
) -> dict[str, Choice]:
    """Return the parts, each isolated one with the Python interpreter that has its engine.

    Raises:
        UsageError: an engine is not installed; an environment that the options name does not exist.
    """
    from swift_core.environments import check_names, python_for

    envs = options.get("envs", {})
    check_names(envs, known, settings.where)
    found = dict(parts)
    for part, choice in parts.items():
        spec = known.spec(choice)
        unusable = isinstance(spec, QuantizerSpec) and spec.when == "offline" and part != verb.main  # reported by the verb's own check
        if spec.isolated and not unusable:
            found[part] = replace(choice, python=python_for(known.entry(part, choice.name, origin=choice.plugin), envs))
    return found


def job_of(verb: VerbSpec, parts: Mapping[str, Choice], known: Registry) -> str:
    """Return the job of a run: the verb's own, or the one that a part brings; '' for a verb that is carried out without workers.

    Raises:
        UsageError: none of the parts brings one.
    """
    if verb.job or not verb.job_from:
        return str(verb.job or "")
    for place in verb.job_from:
        part, _, attribute = place.partition(".")
        if part in parts and (job := getattr(known.spec(parts[part]), attribute)):
            return str(job)
    part = verb.job_from[-1].partition(".")[0]
    name = parts[part].name if part in parts else ""
    raise UsageError(
        f"the {part} '{name}' does not support {verb.name}", code="RUN-007", where=part, hint=f"Omit --{part} to use the default."
    )


def _not_chosen(verb: VerbSpec, part: str, chosen: Mapping[str, Any], settings: Settings, known: Registry) -> UsageError:
    where = settings.where(f"{part}.{next(iter(chosen))}") if chosen else part
    names = ", ".join(spec.name for spec in known.all(part)) or "none is installed"
    return UsageError(f"no {part} selected", code="RUN-008", where=where, hint=f"Add --{verb.flags.get(part, part)} NAME: {names}.")
