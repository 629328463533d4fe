"""Checks of a command: the side effects of its import, its name, its help, and its errors for wrong arguments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from swift_core.contract import Ref, SwiftError
from swift_core.plugins import commands_offered, listing, local, spelled
from swift_core.system import failure_site_of
from swift_testing.kit.importing import Report
from swift_testing.kit.model import COMMAND, CheckFailed, Skip, check, require
from swift_testing.kit.probe import NotImported, probe
from swift_testing.kit.subject import Subject

if TYPE_CHECKING:
    import click

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_NONSENSE = "there-is-no-such-thing"


def _report(subject: Subject) -> Report:
    try:
        report = probe(subject.entry)
    except NotImported as error:
        raise Skip(str(error)) from None
    if report.failure:
        raise Skip("it can't be imported")
    return report


def _command(subject: Subject) -> click.Command:
    import click

    _report(subject)
    if file := local.file_of(subject.entry.distribution):
        local.load(file)
    found = Ref(subject.spec.target).load()
    require(isinstance(found, click.Command), f"'{subject.spec.target}' is a {type(found).__name__}, not a click command")
    return found  # type: ignore[no-any-return]


@check(COMMAND)
def check_command_imports(subject: Subject) -> None:
    """The module of the command imports without error, and the target is a click command."""
    try:
        report = probe(subject.entry)
    except NotImported as error:
        raise CheckFailed(str(error)) from None
    require(not report.failure, f"it can't be imported: {report.failure}")
    _command(subject)


@check(COMMAND)
def check_command_import_is_light(subject: Subject) -> None:
    """Its module imports only the standard library, click and swift_core: `--help` and `swift plugins` pay for every import."""
    foreign = _report(subject).foreign
    where = "; ".join(f"{name}{place}" for name, place in sorted(foreign.items()))
    require(not foreign, f"it imports {where}. Import it in the function that needs it")


@check(COMMAND)
def check_command_import_side_effects(subject: Subject) -> None:
    """The import has no side effects: it prints, writes, starts and changes nothing and does not use the network."""
    report = _report(subject)
    effects = [*report.network, *report.files, *report.processes, *report.changed, *([repr(report.printed)] if report.printed else [])]
    require(not effects, f"its import has side effects: {'; '.join(effects)}")


@check(COMMAND)
def check_command_name_is_unique(subject: Subject) -> None:
    """Its name can be typed and is unique: a first-party command takes precedence, and of two other commands neither is called."""
    name = subject.spec.name
    require(_NAME.fullmatch(name), f"'{name}' is not a valid name: use lower-case words with dashes between them")
    require(not listing.verb_homes(spelled(name)), f"'{name}' is a verb, which takes precedence")
    others = [offer.point.distribution for offer in commands_offered() if offer.name == spelled(name)]
    others = [home for home in others if home != subject.entry.distribution]
    require(not others, f"the command '{name}' is offered by {' and '.join(others)} too")


@check(COMMAND)
def check_command_has_help(subject: Subject) -> None:
    """`--help` works and describes what the command does."""
    command = _command(subject)
    code, output = _called(subject, command, ["--help"])
    require(code == 0, f"--help exits with code {code}: {output}")
    require((command.help or "").strip(), "it has no help text: its function has no docstring")


@check(COMMAND)
def check_usage_errors(subject: Subject) -> None:
    """An unknown option, a missing argument and a missing file end in a message and a non-zero exit code, never in a traceback."""
    import click

    command = _command(subject)
    code, output = _called(subject, command, [f"--{_NONSENSE}"])
    require(code != 0, f"it accepts an unknown option: {output}")
    needed = [item for item in command.params if item.required]
    if not needed:
        return
    code, _ = _called(subject, command, [])
    require(code != 0, f"without {', '.join(item.human_readable_name for item in needed)} it exits with code 0")
    words = list[str]()
    for item in needed:
        words += [*([item.opts[0]] if isinstance(item, click.Option) else []), *[_NONSENSE] * max(item.nargs, 1)]
    _called(subject, command, words)


def _called(subject: Subject, command: click.Command, words: Sequence[str]) -> tuple[int, str]:
    """Run the command in an empty folder; return its exit code and its output.

    Raises:
        CheckFailed: it raised an exception that users would see as a traceback.
    """
    from click.testing import CliRunner

    runner = CliRunner()
    with runner.isolated_filesystem(temp_dir=str(subject.folder)):
        done: Any = runner.invoke(command, list(words))
    error = done.exception
    if error is not None and not isinstance(error, SystemExit | SwiftError):
        shown = " ".join(words) or "no arguments"
        text = f"{type(error).__name__}: {error}{failure_site_of(error, subject.spec.target)}"
        raise CheckFailed(f"with {shown} it raises {text}") from error
    return int(done.exit_code or 0), str(done.output).strip()[:200]
