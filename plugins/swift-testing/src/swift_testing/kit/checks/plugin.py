"""Checks of a plugin as a whole: the side effects of its import, and its hooks."""

from __future__ import annotations

from swift_core.contract import hookspecs
from swift_testing.kit.importing import Report
from swift_testing.kit.model import PLUGIN, CheckFailed, Skip, check, require
from swift_testing.kit.probe import NotImported, probe
from swift_testing.kit.subject import Subject, examples_of


def _report(subject: Subject) -> Report:
    try:
        return probe(subject.entry)
    except NotImported as error:
        raise Skip(str(error)) from None


@check(PLUGIN)
def check_import(subject: Subject) -> None:
    """The module imports without error and within a time limit: a hang or a sys.exit at import would affect every command."""
    try:
        report = probe(subject.entry)
    except NotImported as error:
        raise CheckFailed(str(error)) from None
    require(report.stage != "import" or not report.failure, f"it can't be imported: {report.failure}")


@check(PLUGIN)
def check_import_is_light(subject: Subject) -> None:
    """The module imports only the standard library and swift_core.contract.specs: every command pays for its imports, even `--help`."""
    foreign = _report(subject).foreign
    where = "; ".join(f"{name}{place}" for name, place in sorted(foreign.items()))
    require(not foreign, f"it imports {where}. Move the code that needs it to a module behind a Ref")


@check(PLUGIN)
def check_import_uses_no_network(subject: Subject) -> None:
    """The import does not use the network: commands must work, and be as fast, without one."""
    requests = _report(subject).network
    require(not requests, f"it uses the network while it is imported: {'; '.join(requests)}")


@check(PLUGIN)
def check_import_writes_nothing(subject: Subject) -> None:
    """The import writes no files and starts no processes: these would be side effects of every command."""
    report = _report(subject)
    require(not report.files, f"it opens files for writing while it is imported: {'; '.join(report.files)}")
    require(not report.processes, f"it starts processes while it is imported: {'; '.join(report.processes)}")


@check(PLUGIN)
def check_import_prints_nothing(subject: Subject) -> None:
    """The import prints nothing to stdout: other programs parse the output of `--json` there."""
    printed = _report(subject).printed
    require(not printed, f"it prints to stdout while it is imported: {printed!r}")


@check(PLUGIN)
def check_import_changes_nothing(subject: Subject) -> None:
    """The import does not change environment variables, logging, signal handlers, warnings or other state of the whole process."""
    changed = _report(subject).changed
    require(not changed, f"it changes {', '.join(changed)} while it is imported")


@check(PLUGIN)
def check_api(subject: Subject) -> None:
    """`SWIFT_API`, if defined, is a version specifier (PEP 440) that this swift-core satisfies."""
    problem = _api_problem(_report(subject).api)
    require(not problem, problem)


@check(PLUGIN)
def check_hooks(subject: Subject) -> None:
    """Its hooks exist in swift-core and take the specified arguments: a misspelt hook would never be called."""
    report = _report(subject)
    if report.stage == "import":
        raise Skip("it can't be imported")
    require(report.stage != "register" or bool(_api_problem(report.api)), report.failure)


@check(PLUGIN)
def check_hook_results(subject: Subject) -> None:
    """Each hook returns a list of specs of its kind, and only kinds that can run in their own process are `isolated`."""
    report = _report(subject)
    if report.stage in ("import", "register"):
        raise Skip("its hooks can't be called")
    require(not report.failure, report.failure)


@check(PLUGIN)
def check_options_are_light(subject: Subject) -> None:
    """The modules of its options classes import pydantic at most: `--help`, `swift schema` and the parent of a run import them."""
    foreign = _report(subject).foreign_for_options
    require(not foreign, "; ".join(f"the module of its options, {module}, imports {name}" for name, module in sorted(foreign.items())))


@check(PLUGIN)
def check_examples(subject: Subject) -> None:
    """`SWIFT_EXAMPLES`, if defined, has examples only of parts that the plugin offers."""
    import importlib

    from swift_core.plugins import HOOKS, local

    if _report(subject).failure:
        raise Skip("its hooks can't be called")
    file = local.file_of(subject.entry.distribution)
    module = local.load(file) if file else importlib.import_module(subject.entry.target)
    names = {spec.name for hook in HOOKS.values() if hasattr(module, hook) for spec in getattr(module, hook)()}
    unknown = sorted(name for name in examples_of(module) if name.rpartition(" ")[2] not in names)
    require(not unknown, f"SWIFT_EXAMPLES has examples of parts that it does not offer: {', '.join(unknown)}")


def _api_problem(specifier: str | None) -> str:
    """Return why a `SWIFT_API` is refused; '' if it is not."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        fits = specifier is None or SpecifierSet(specifier).contains(hookspecs.API_VERSION)
    except InvalidSpecifier:
        return f"its SWIFT_API is not a version specifier: {specifier!r}"
    return "" if fits else f"it requires plugin API {specifier}, and this swift-core has {hookspecs.API_VERSION}"
