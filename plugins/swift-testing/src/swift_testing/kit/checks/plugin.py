"""A plugin as a whole: what it does while it is imported, and whether its hooks are ones."""

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
    """The module can be imported, and quickly: a hang or a sys.exit there would be a hang or an end of every command."""
    try:
        report = probe(subject.entry)
    except NotImported as error:
        raise CheckFailed(str(error)) from None
    require(report.stage != "import" or not report.failure, f"it can't be imported: {report.failure}")


@check(PLUGIN)
def check_import_is_light(subject: Subject) -> None:
    """The module imports the standard library and swift_core.contract.specs, no more: every command pays for it, `--help` too."""
    foreign = _report(subject).foreign
    where = "; ".join(f"{name}{place}" for name, place in sorted(foreign.items()))
    require(not foreign, f"it imports {where}. Put what needs it behind a Ref")


@check(PLUGIN)
def check_import_asks_no_network(subject: Subject) -> None:
    """Nothing is asked over the network while it is imported: commands must work, and as fast, where there is none."""
    asked = _report(subject).network
    require(not asked, f"it uses the network while it is imported: {'; '.join(asked)}")


@check(PLUGIN)
def check_import_writes_nothing(subject: Subject) -> None:
    """No file is written and no process started while it is imported, for the same reason."""
    report = _report(subject)
    require(not report.files, f"it opens files for writing while it is imported: {'; '.join(report.files)}")
    require(not report.processes, f"it starts processes while it is imported: {'; '.join(report.processes)}")


@check(PLUGIN)
def check_import_prints_nothing(subject: Subject) -> None:
    """Nothing is printed to stdout while it is imported: programs read there what `--json` gives."""
    printed = _report(subject).printed
    require(not printed, f"it prints to stdout while it is imported: {printed!r}")


@check(PLUGIN)
def check_import_changes_nothing(subject: Subject) -> None:
    """Environment variables, logging, signal handlers, warnings and the like are left alone: they belong to the whole process."""
    changed = _report(subject).changed
    require(not changed, f"it changes {', '.join(changed)} while it is imported")


@check(PLUGIN)
def check_api(subject: Subject) -> None:
    """`SWIFT_API`, where the module has it, is a version specifier that holds for this swift-core."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    wanted = _report(subject).api
    if wanted is None:
        return
    try:
        fits = SpecifierSet(wanted).contains(hookspecs.API_VERSION)
    except InvalidSpecifier:
        raise CheckFailed(f"its SWIFT_API is no version specifier: {wanted!r}") from None
    require(fits, f"it wants plugin API {wanted}, and this swift-core has {hookspecs.API_VERSION}")


@check(PLUGIN)
def check_hooks(subject: Subject) -> None:
    """Its hooks are ones that swift-core knows, and take no other arguments: a misspelt hook would never be called."""
    report = _report(subject)
    if report.stage == "import":
        raise Skip("it can't be imported")
    fenced = report.failure.startswith(("it wants plugin API", "its SWIFT_API"))
    require(report.stage != "register" or fenced, report.failure)


@check(PLUGIN)
def check_answers(subject: Subject) -> None:
    """Each hook answers with a list of its own kind of spec, and `isolated` only where that can be."""
    report = _report(subject)
    if report.stage in ("import", "register"):
        raise Skip("it can't be asked")
    require(not report.failure, report.failure)


@check(PLUGIN)
def check_options_are_light(subject: Subject) -> None:
    """Options classes stand in modules that import pydantic at most: `--help` and `swift schema` import them, a run's parent too."""
    foreign = _report(subject).foreign_for_options
    require(not foreign, "; ".join(f"the options' module {module} imports {name}" for name, module in sorted(foreign.items())))


@check(PLUGIN)
def check_examples(subject: Subject) -> None:
    """`SWIFT_EXAMPLES`, where the module has it, names parts that are there."""
    import importlib

    from swift_core.plugins.registry import HOOKS

    if _report(subject).failure:
        raise Skip("it can't be asked")
    module = importlib.import_module(subject.entry.target)
    names = {spec.name for hook, _ in HOOKS.values() if hasattr(module, hook) for spec in getattr(module, hook)()}
    unknown = sorted(set(examples_of(module)) - names)
    require(not unknown, f"SWIFT_EXAMPLES has examples of what it does not offer: {', '.join(unknown)}")
