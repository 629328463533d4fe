"""The command `swift`, also installed as `swift-core`. Its commands come from plugins: verbs through the hook `swift_verbs`, and
free-form commands through the entry-point group `swift.commands`. A command's module is imported when it is called.
"""

from __future__ import annotations

from swift_core.system import interrupts  # first, so that what follows can be interrupted

# isort: split
import json
import os
import re
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from swift_core.cli.output import note, print_error
from swift_core.contract import Stopped, SwiftError, UsageError, VerbSpec, __version__, suggestion
from swift_core.plugins import commands, listing, local
from swift_core.system import disk_error


class Swift(click.Group):
    """The group of all verbs and commands, which are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all verbs and commands, from metadata."""
        return [line.name for line in listing.lines()]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return the command of that name or alias; its module is imported now."""
        if name.startswith("-"):
            return None
        if verb := _verb(name):
            from swift_core.cli.verb import command_for

            return command_for(verb) if verb.gives != "model" else None
        offer = commands.find_command(name)
        return offer.load() if offer else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve as click does, with a suggestion for an unknown name, and with other tools' command lines rewritten."""
        name, rest = args[0], args[1:]
        if name.startswith("-"):
            return super().resolve_command(ctx, args)
        verb = _verb(name)
        if verb and verb.rewrite:
            renamed, rest = verb.rewrite.load()(rest)
            name = renamed or name
        if (command := self.get_command(ctx, name)) is None:
            raise _unknown(name, rest)
        return name, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs and commands, without importing one."""
        for title, verbs in (("Verbs", True), ("Commands", False)):
            rows = [(", ".join([line.name, *line.also]), line.summary) for line in listing.lines() if line.verb == verbs]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _verb(name: str) -> VerbSpec | None:
    """Return the verb of that name; None if the name is a free-form command's, or unknown.

    Raises:
        UsageError: several plugins offer the name.
    """
    from swift_core.plugins import find_verb, registered, verb_names

    home, slash, bare = name.rpartition("/")
    spelled = home + slash + commands.spelled(bare)
    homes = listing.verb_homes(spelled)
    if not homes.keys() & registered.first_party() and (offer := commands.find_command(name)):
        if homes and not offer.first_party:
            raise verb_names.clash("command", bare, [*homes.items(), (offer.point.distribution, offer.place)])
        return None
    return find_verb(spelled)


def _unknown(name: str, words: Sequence[str]) -> UsageError:
    """Return the error of an unknown command: a plugin's, if it knows a line of another program that begins so."""
    from swift_core.plugins import entry_points, registry, verb_names

    for point in entry_points("swift.foreign_commands"):
        try:
            answer = point.load()(name, words)
        except Exception as error:  # must not hide that the command is unknown
            note(f"{point.value} of {point.distribution} failed: {type(error).__name__}: {error}")
            continue
        if isinstance(answer, UsageError):
            return answer
    return verb_names.unknown("command", name, {word for line in listing.lines() for word in (line.name, *line.also)}, registry())


@click.group(cls=Swift, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="swift-core")
@click.option(
    "--plugin",
    multiple=True,
    metavar="FILE.py",
    is_eager=True,
    expose_value=False,
    callback=lambda _ctx, _param, files: local.use_local_plugins(files, where="--plugin"),
    help="Load this Python file as a plugin; repeatable.",
)
@click.option("--trace", is_flag=True, help="Write each plugin import and hook call to stderr, with its duration.")
@click.pass_context
def cli(ctx: click.Context, trace: bool) -> None:
    """From a language model to a solved problem: fetch, fine-tune, merge, serve, ask; every part a plugin."""
    if trace:
        os.environ["SWIFT_TRACE"] = "1"
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def help_text() -> str:
    """Return the text of `swift --help`."""
    with cli.make_context("swift", []) as context:
        return cli.get_help(context)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0, 1 (failed), 2 (the user's mistake), 130 (stopped). SIGTERM is a Ctrl-C."""
    try:
        interrupts.listen()
        code = invoke(sys.argv[1:] if argv is None else argv)
    except BaseException as error:  # a KeyboardInterrupt after the command's end, or while an error was being printed
        if not isinstance(error, KeyboardInterrupt) and not interrupts.seen():
            raise
        print_error(Stopped("stopped", code="CLI-001"))
        code = interrupts.CODE
    interrupts.leave(code)


def invoke(argv: Sequence[str]) -> int:
    """Run the command line and return its exit code."""
    try:
        code = _invoked(argv)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as end:  # --help, --version
        return end.exit_code
    except SwiftError as error:
        return _failed(error, argv)
    except click.ClickException as error:
        return _failed(_from_click(error), argv)
    except (click.Abort, KeyboardInterrupt):
        print_error(Stopped("stopped", code="CLI-001"))
        return 130
    except BrokenPipeError:  # `swift plugins | head`
        with suppress(OSError):
            sys.stdout.close()
        return 0
    except OSError as error:
        translated = disk_error(error, Path())
        if not isinstance(translated, SwiftError):
            if error.filename is None or os.environ.get("SWIFT_DEBUG") == "1":
                raise
            place = str(error.filename)
            translated = SwiftError(
                f"operating system error: {error.strerror}", code="CLI-002", where=place, hint="Set SWIFT_DEBUG=1 to see the traceback."
            )
        return _failed(translated, argv)


def _failed(error: SwiftError, argv: Sequence[str]) -> int:
    """Print the error, with `--json` also on stdout, and return the exit code."""
    if interrupts.seen():  # an import or a library was interrupted, and raised something else
        error = Stopped("stopped", code="CLI-001", hint=error.hint if isinstance(error, Stopped) else "")
    elif not isinstance(error, Stopped):
        if os.environ.get("SWIFT_DEBUG") == "1":
            traceback.print_exc()
        if "--json" in argv:
            click.echo(json.dumps(error.to_json(), ensure_ascii=False))
    print_error(error)
    return error.exit_code


def _invoked(argv: Sequence[str]) -> Any:
    """Invoke the command as click's `main` does, which would print an empty line before the message of a Ctrl-C."""
    if "_SWIFT_COMPLETE" in os.environ:
        return cli.main(args=list(argv), prog_name="swift")
    with cli.make_context("swift", list(argv)) as context:
        return cli.invoke(context)


def _from_click(error: click.ClickException) -> SwiftError:
    """Return a click error as a SwiftError."""
    hint = ""
    if isinstance(error, click.UsageError) and error.ctx:
        hint = f"{error.ctx.command_path} --help lists the options."
    if isinstance(error, click.NoSuchOption):
        near = [name for name in error.possibilities or () if name.startswith("--")]
        hint = f"Did you mean {' or '.join(near[:3])}? {hint}" if near else hint
        return UsageError(f"there is no option {error.option_name}", code="CLI-003", hint=hint)
    if isinstance(error, click.BadParameter) and error.param and isinstance(error.param.type, click.Choice):
        given = re.match(r"'(.*)' is not one of", error.message or "")
        hint = f"{suggestion(given[1], error.param.type.choices)} {hint}".strip() if given else hint
    return UsageError(" ".join(error.format_message().split()), code="CLI-004", hint=hint)  # click lists choices over many lines
