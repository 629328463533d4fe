"""Checks of a verb: what its command, its options and its run are made of must exist, and `swift --help` must find it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swift_core import run_verb
from swift_core.contract import SwiftError, VerbSpec
from swift_core.options import HubOptions, RunOptions, fields
from swift_core.plugins import KINDS, entry_points, local, registry, summaries
from swift_testing.kit.checks.options import check_options_are_described, check_options_class, check_options_json_schema
from swift_testing.kit.checks.specs import check_refs
from swift_testing.kit.model import PLUGIN, CheckFailed, Example, Skip, check, require
from swift_testing.kit.subject import Subject, load

VERB = "verb"
_FILES = ("rows", "answers", "scores", "file")  # of VerbSpec.gives

for function in (check_refs, check_options_class, check_options_are_described, check_options_json_schema):
    check(VERB)(function)


@check(VERB)
def check_run_options(subject: Subject) -> None:
    """Its options derive from RunOptions, or from HubOptions if it leaves no run folder: the core reads `offline`, `hub` and `runs`."""
    base = RunOptions if subject.spec.records else HubOptions
    options = subject.spec.options
    require(issubclass(load(options), base), f"'{options}' does not derive from swift_core.options.{base.__name__}")


@check(VERB)
def check_parts_exist(subject: Subject) -> None:
    """Its parts are kinds of parts, and `main`, `each`, `fixed`, `preferred`, `flags` and `job_from` name parts that it has."""
    verb = subject.spec
    unknown = [part for part in verb.parts if part not in KINDS]
    require(not unknown, f"there is no kind of part '{', '.join(unknown)}': {', '.join(KINDS)}")
    named = {"main": {verb.main}, "each": {verb.each}, "fixed": verb.fixed, "preferred": verb.preferred, "flags": verb.flags}
    named["job_from"] = {place.partition(".")[0] for place in verb.job_from}
    for name, parts in named.items():
        absent = sorted(part for part in parts if part and part not in verb.parts)
        require(not absent, f"`{name}` names {', '.join(absent)}, which is not in `parts`")


@check(VERB)
def check_positional(subject: Subject) -> None:
    """The option that bare words set exists, and a verb that takes a server has an option `url`."""
    options = _options(subject)
    positional = subject.spec.positional
    require(not positional or positional in options, f"`positional` is '{positional}', which is not one of its options")
    require("server" not in subject.spec.takes or "url" in options, "it takes a server, but has no option `url`")


@check(VERB)
def check_spellings(subject: Subject) -> None:
    """Each flag of another tool in `spellings` stands for options or parts of it; one with a value, for options with values."""
    known = {*_options(subject), *subject.spec.parts, *_main_options(subject)}
    wrong = [f"{old} → {new}" for old, new in subject.spec.spellings.items() if not _stands_for("=" in old, new, known)]
    require(not wrong, f"spellings that stand for no option and no part: {', '.join(wrong)}")


def _main_options(subject: Subject) -> set[str]:
    """Return the options of the implementations of the main part, which are flags of the verb too."""
    kind = KINDS.get(subject.spec.main)
    specs: list[Any] = registry().all(kind) if kind else []
    return {field.path.partition(".")[0] for spec in specs if spec.options for field in fields.fields(spec.options)}


def _stands_for(with_value: bool, text: str, known: set[str]) -> bool:
    if not with_value:
        return text.replace("-", "_") in known
    return all("=" in pair and pair.partition("=")[0].partition(".")[0].replace("-", "_") in known for pair in text.split())


@check(VERB)
def check_implementation(subject: Subject) -> None:
    """It has a job, parts that bring one, or a function that carries it out."""
    verb = subject.spec
    require(verb.job or verb.job_from or verb.carry_out, "it has no `job`, no `job_from` and no `carry_out`")


@check(VERB)
def check_result(subject: Subject) -> None:
    """With the options of its example it gives what `gives` says: later steps of a recipe rely on it."""
    verb = subject.spec
    if subject.example == Example():
        raise Skip(f"the plugin's SWIFT_EXAMPLES has no example of '{verb.name}'")
    given = {name: subject.placed(value) for name, value in subject.example.options.items()}
    if "model" in _options(subject) and "model" not in given:
        given["model"] = subject.tiny_model
    if "runs" in _options(subject):
        given["runs"] = subject.new_folder("runs")
    if verb.gives == "server":
        raise Skip("its result is a server, which the checks of backends start")
    try:
        result: Any = run_verb(verb, **given)
    except SwiftError as error:
        raise CheckFailed(f"its example fails: {error}") from error
    output = getattr(result, "output", None)
    if verb.gives == "checkpoint":
        require(output and Path(output).is_dir(), f"it gives a checkpoint, but its output is {output}")
    elif verb.gives in _FILES:
        require(output and Path(output).is_file(), f"it gives {verb.gives}, but its output is {output}, which is no file")
    else:
        require(result is not None, "it returns nothing")


@check(PLUGIN)
def check_verb_entry_points(subject: Subject) -> None:
    """Its verbs are named in the entry-point group `swift.verbs`, with summaries found without an import: `swift --help` lists them so."""
    entry = subject.entry
    if local.file_of(entry.distribution):
        raise Skip("a local file has no entry points: it is loaded when it is named")
    listed = {
        point.name: point
        for point in entry_points("swift.verbs")
        if (point.distribution, point.value) == (entry.distribution, entry.target)
    }
    known = registry()
    kinds = {"verb", *(verb.each for verb in known.all(VerbSpec) if verb.each)}
    offered = {item.spec.name: item.spec for kind in kinds for item in known.entries(KINDS[kind]) if item.plugin.target == entry.target}
    in_python = {name for name, spec in offered.items() if isinstance(spec, VerbSpec) and spec.gives == "model"}
    absent = sorted(offered.keys() - listed.keys() - in_python)
    require(not absent, f"not in the entry-point group swift.verbs: {', '.join(absent)}")
    require(not listed.keys() - offered, f"in the entry-point group swift.verbs, but not offered: {', '.join(listed.keys() - offered)}")
    for name in listed:
        found, spec = summaries.of_verb(entry.target, name), offered[name]
        require(found.text in ("", spec.summary), f"the source says '{found.text}' of '{name}', and its summary is '{spec.summary}'")
        require(found.text, f'no call with name="{name}" and summary="…" is in {entry.target}: write both as plain strings')
        require(found.also == spec.also, f"the source says also={found.also} of '{name}', and it has also={spec.also}")


def _options(subject: Subject) -> set[str]:
    return {field.path.partition(".")[0] for field in fields.fields(subject.spec.options)}
