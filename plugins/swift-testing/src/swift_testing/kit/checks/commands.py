"""A command: what its import costs and does, that it can be told from others, its help, and what it makes of wrong words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from swift_core.cli import is_ours
from swift_core.cli.plugin_commands import offers, spelled
from swift_core.contract.errors import SwiftError
from swift_core.contract.specs import Ref
from swift_core.plugins import local
from swift_core.system.failure_site import place_of
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
    """The command can be imported, and is one of click's: a module that fails there is a command that nobody can call."""
    try:
        report = probe(subject.entry)
    except NotImported as error:
        raise CheckFailed(str(error)) from None
    require(not report.failure, f"it can't be imported: {report.failure}")
    _command(subject)


@check(COMMAND)
def check_command_import_is_light(subject: Subject) -> None:
    """Its module imports the standard library, click and swift_core, no more: `--help` and `swift plugins` pay for all else."""
    foreign = _report(subject).foreign
    where = "; ".join(f"{name}{place}" for name, place in sorted(foreign.items()))
    require(not foreign, f"it imports {where}. Import it in the function that needs it")


@check(COMMAND)
def check_command_import_does_nothing(subject: Subject) -> None:
    """Nothing is printed, written, started, changed or asked over the network before it is called."""
    report = _report(subject)
    done = [*report.network, *report.files, *report.processes, *report.changed, *([repr(report.printed)] if report.printed else [])]
    require(not done, f"while it is imported it does what it should not: {'; '.join(done)}")


@check(COMMAND)
def check_command_name_is_its_own(subject: Subject) -> None:
    """Its name can be typed, and is no other command's: one of ours is never replaced, and of two others neither is called."""
    name = subject.spec.name
    require(_NAME.fullmatch(name), f"'{name}' is no name: lower-case words, with dashes between them")
    require(not is_ours(spelled(name)), f"'{name}' is a command of swift-core, which is the one that is called")
    others = [offer.point.distribution for offer in offers() if offer.name == spelled(name)]
    others = [home for home in others if home != subject.entry.distribution]
    require(not others, f"the command '{name}' is offered by {' and '.join(others)} too")


@check(COMMAND)
def check_command_has_help(subject: Subject) -> None:
    """`--help` works and says what the command does: a user's first words to it."""
    command = _command(subject)
    code, said = _called(subject, command, ["--help"])
    require(code == 0, f"--help ends with code {code}: {said}")
    require((command.help or "").strip(), "it does not say what it does: its function has no docstring")


@check(COMMAND)
def check_wrong_words_are_refused(subject: Subject) -> None:
    """An option that there is not, an argument that is missing, a file that is not there: a sentence and a code, never a traceback."""
    import click

    command = _command(subject)
    code, said = _called(subject, command, [f"--{_NONSENSE}"])
    require(code != 0, f"an option that there is not is taken: {said}")
    needed = [item for item in command.params if item.required]
    if not needed:
        return
    code, _ = _called(subject, command, [])
    require(code != 0, f"without {', '.join(item.human_readable_name for item in needed)} it ends with code 0")
    words = list[str]()
    for item in needed:
        words += [*([item.opts[0]] if isinstance(item, click.Option) else []), *[_NONSENSE] * max(item.nargs, 1)]
    _called(subject, command, words)


def _called(subject: Subject, command: click.Command, words: Sequence[str]) -> tuple[int, str]:
    """The exit code and the output of the command in an empty folder.

    Raises:
        CheckFailed: it ended in what would be a traceback.
    """
    from click.testing import CliRunner

    runner = CliRunner()
    with runner.isolated_filesystem(temp_dir=str(subject.folder)):
        done: Any = runner.invoke(command, list(words))
    error = done.exception
    if error is not None and not isinstance(error, SystemExit | SwiftError):
        shown = " ".join(words) or "no words"
        text = f"{type(error).__name__}: {error}{place_of(error, subject.spec.target)}"
        raise CheckFailed(f"with {shown} it ends in {text}") from error
    return int(done.exit_code or 0), str(done.output).strip()[:200]
