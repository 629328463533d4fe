"""The command line: `swift`, also installed as `swift-core`. One command a file; a command's module is imported when it is called.

Plugins add commands by the entry-point group `swift.commands` (`name = "module:command"`): see `plugin_commands`.
"""

from __future__ import annotations

from swift_core.system import interrupts  # first, so that what follows can be interrupted

# isort: split
import importlib
import os
import re
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from swift_core import __version__
from swift_core.cli import plugin_commands
from swift_core.cli.messages import print_error
from swift_core.contract.errors import Stopped, SwiftError, UsageError, suggestion
from swift_core.plugins import local
from swift_core.system.paths import disk_error

COMMANDS = {
    "sft": ("swift_core.cli.sft:command", "Fine-tune a model on conversations"),
    "pretrain": ("swift_core.cli.pretrain:command", "Train a model on plain text"),
    "infer": ("swift_serve.commands.infer:command", "Talk to a model, or answer a file of questions"),
    "ask": ("swift_serve.commands.ask:command", "Put questions to a checkpoint or a server, and keep the answers"),
    "serve": ("swift_serve.commands.serve:command", "Serve a checkpoint behind an OpenAI-compatible API"),
    "adapter": ("swift_serve.commands.adapter:command", "List, add and drop the adapters of a running server"),
    "check-parity": ("swift_serve.commands.check_parity:command", "Check that a server gives a checkpoint the tokens it was trained on"),
    "merge": ("swift_convert.commands.merge:command", "Fold an adapter into its base, and prove it"),
    "quantize": ("swift_convert.commands.quantize:command", "Write a checkpoint in fewer bits, and measure what was lost"),
    "export": ("swift_convert.commands.export:command", "Write a checkpoint in another format"),
    "data": ("swift_data.commands:command", "Check, show and convert data sets"),
    "fetch": ("swift_hub.commands.fetch:command", "Bring a model onto this machine"),
    "run": ("swift_recipes.command:command", "Run a recipe, or one verb from a YAML file"),
    "models": ("swift_hub.commands.models:command", "Model families, and the models on this machine"),
    "plugins": ("swift_core.cli.plugins:command", "What is installed, and what is wrong with it"),
    "env": ("swift_core.cli.env:command", "Environments of engines that can't share this one"),
    "schema": ("swift_core.cli.schema:command", "JSON Schema of the YAML, with what is installed"),
}
ALIASES = {"pt": "pretrain", "chat": "infer", "deploy": "serve", "merge-lora": "merge"}


class Swift(click.Group):
    """The group: commands by name, imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Our own, then the plugins', by name."""
        return [*COMMANDS, *(name for name in dict.fromkeys(offer.name for offer in plugin_commands.offers()) if not is_ours(name))]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of that name or alias, imported now."""
        ours = ALIASES.get(plugin_commands.spelled(name), plugin_commands.spelled(name))
        if ours in COMMANDS:
            module, _, attribute = COMMANDS[ours][0].partition(":")
            return getattr(importlib.import_module(module), attribute)  # type: ignore[no-any-return]
        if offer := plugin_commands.find(name):
            return offer.load()
        return None if name.startswith("-") else importlib.import_module("swift_core.cli.task").command_for(name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Click's own, with a suggestion for an unknown name."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            near = suggestion(args[0], [*self.list_commands(ctx), *ALIASES])
            raise UsageError(f"there is no command '{args[0]}'", hint=near or "swift --help lists them.")
        name, command, rest = super().resolve_command(ctx, args)
        if name == "export":
            from swift_convert.commands import ms_swift

            name, rest = ms_swift.export(rest)
            command = self.get_command(ctx, name)
        return name, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing one."""
        also = {name: [alias for alias, target in ALIASES.items() if target == name] for name in COMMANDS}
        rows = [(", ".join([name, *also[name]]), summary) for name, (_, summary) in COMMANDS.items()]
        offers = plugin_commands.offers()
        for name in dict.fromkeys(offer.name for offer in offers if not is_ours(offer.name)):
            homes = [offer.point.distribution for offer in offers if offer.name == name]
            rows.append((name, f"From {' and '.join(homes)}" + ("; write DISTRIBUTION/" + name if homes[1:] else "")))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=Swift, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="swift-core")
@click.option(
    "--plugin",
    multiple=True,
    metavar="FILE.py",
    is_eager=True,
    expose_value=False,
    callback=lambda _ctx, _param, files: _use(files),
    help="Load this file as a plugin too, for a quick try; repeatable.",
)
@click.option("--trace", is_flag=True, help="Write each import and each hook call of a plugin to stderr, with its time.")
@click.pass_context
def cli(ctx: click.Context, trace: bool) -> None:
    """From a language model to a solved problem: fetch, fine-tune, merge, serve, ask; every part a plugin."""
    if trace:
        os.environ["SWIFT_TRACE"] = "1"
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0, 1 (failed), 2 (the user's mistake), 130 (stopped). SIGTERM is a Ctrl-C."""
    try:
        interrupts.listen()
        code = invoke(sys.argv[1:] if argv is None else argv)
    except BaseException as error:  # a KeyboardInterrupt after the command's end, or while an error was being told
        if not isinstance(error, KeyboardInterrupt) and not interrupts.seen():
            raise
        print_error(Stopped("stopped"))
        code = interrupts.CODE
    interrupts.leave(code)


def invoke(argv: Sequence[str]) -> int:
    """Run the command line and return its exit code."""
    try:
        code = _invoked(argv)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as end:  # --help, --version
        return end.exit_code
    except Stopped as error:
        print_error(error)
        return error.exit_code
    except SwiftError as error:
        if interrupts.seen():  # an import or a library was interrupted, and told of something else
            print_error(Stopped("stopped"))
            return interrupts.CODE
        if os.environ.get("SWIFT_DEBUG") == "1":
            traceback.print_exc()
        print_error(error)
        return error.exit_code
    except click.ClickException as error:
        if interrupts.seen():
            print_error(Stopped("stopped"))
            return interrupts.CODE
        print_error(_from_click(error))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        print_error(Stopped("stopped"))
        return 130
    except BrokenPipeError:  # `swift plugins | head`
        with suppress(OSError):
            sys.stdout.close()
        return 0
    except OSError as error:
        told = disk_error(error, Path())
        if not isinstance(told, SwiftError):
            if error.filename is None or os.environ.get("SWIFT_DEBUG") == "1":
                raise
            place = str(error.filename)
            told = SwiftError(f"the system says: {error.strerror}", where=place, hint="SWIFT_DEBUG=1 shows what was being done.")
        print_error(told)
        return told.exit_code


def _invoked(argv: Sequence[str]) -> Any:
    """As click's own `main` does, which would put an empty line before what is said of a Ctrl-C."""
    if "_SWIFT_COMPLETE" in os.environ:
        return cli.main(args=list(argv), prog_name="swift")
    with cli.make_context("swift", list(argv)) as context:
        return cli.invoke(context)


def _from_click(error: click.ClickException) -> SwiftError:
    hint = ""
    if isinstance(error, click.UsageError) and error.ctx:
        hint = f"{error.ctx.command_path} --help lists the options."
    if isinstance(error, click.NoSuchOption):
        near = [name for name in error.possibilities or () if name.startswith("--")]
        hint = f"Did you mean {' or '.join(near[:3])}? {hint}" if near else hint
        return UsageError(f"there is no option {error.option_name}", hint=hint)
    if isinstance(error, click.BadParameter) and error.param and isinstance(error.param.type, click.Choice):
        given = re.match(r"'(.*)' is not one of", error.message or "")
        hint = f"{suggestion(given[1], error.param.type.choices)} {hint}".strip() if given else hint
    return UsageError(" ".join(error.format_message().split()), hint=hint)  # click lists choices over many lines


def is_ours(name: str) -> bool:
    """Whether a command of that name is one of our own, which no plugin's takes the place of."""
    return name in COMMANDS or name in ALIASES


def _use(files: Sequence[str]) -> None:
    if files:
        local.use(files, where="--plugin")
