"""The commands that the documentation shows, as words, and what the command line makes of them without doing any."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from swift_core.cli import FlagsCommand, cli
from swift_core.contract import Settings
from swift_core.contract.errors import UsageError
from swift_core.options.settings import normalise
from swift_core.plugins.registered import registry
from swift_core.runs.choose import options_and_parts

ROOT = Path(__file__).parent.parent
_VARIABLES = r"(?:[A-Z_]+=\S+ +)*"
_BLOCK = re.compile(rf"(?:    |```\n|\$ )\s*(?:\$ )?{_VARIABLES}swift +(\S.*)")
_INLINE = re.compile(rf"`{_VARIABLES}swift +([^`]+)`")
_SHELL = re.compile(r"^(\d?>|\|\|?|&&|&|;)")
_PLACEHOLDERS = {"NAME", "VERB", "DISTRIBUTION", "DISTRIBUTION/NAME", "TASK"}
_LEARNED = {"poems", "verse", "smollm", "smollm2-135m-instruct", "acme"}  # parts that a tutorial writes itself; its own tests run it
_EXAMPLES = {"count", "focal", "norms", "sums", "step-timer:limit=600"}  # of docs/examples; tests/test_examples.py and others run them
_NOT_SELECTED = "RUN-008"  # a part without a default: a fragment need not name one
FILLED = {"model": "folder", "dataset": ["rows.jsonl"], "exporter": "gguf", "quantizer": "bnb", "output": "out.jsonl"}


def pages() -> list[Path]:
    """Everything that is written for users."""
    found = [ROOT / "README.md", ROOT / "CHANGELOG.md"]
    for pattern in ("docs/**/*.md", "plugins/*/README.md", "contrib/**/*.md"):
        found += sorted(path for path in ROOT.glob(pattern) if not {".venv", "node_modules"} & set(path.parts))
    return found


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Each command of a page: as it stands, and its words after `swift`, up to what is the shell's."""
    text = re.sub(r"\\\n\s*", " ", page.read_text(encoding="utf-8"))
    for line in text.splitlines():
        block = _BLOCK.match(line)
        for shown in [block[1]] if block else _INLINE.findall(line):
            words = _words(shown)
            if (
                words
                and words != ["…"]
                and "--trace" not in words
                and not _PLACEHOLDERS & {piece for word in words for piece in word.split("/")}
                and not (_LEARNED | _EXAMPLES) & set(words)
                and not any("|" in word for word in words[:3])
            ):
                yield shown, words


def theirs(page: Path) -> Iterator[list[str]]:
    """What a table of other tools' spellings has in its first column, as words of a command."""
    for row in re.findall(r"^\| (`.*?) \|", page.read_text(encoding="utf-8"), re.MULTILINE):
        for shown in re.findall(r"`([^`]+)`", row):
            words = _words(shown)
            if len(words) > 1 and any(word.startswith("--") for word in words) and not {"--push_to_hub", "--external_plugins"} & set(words):
                verb = "deploy" if words[0] == "--infer_backend" else "sft"
                if "`export`" in row or words[0] == "--to_ollama":
                    verb = "export"
                yield [verb, *words] if words[0].startswith("--") else words


def _words(shown: str) -> list[str]:
    words = shlex.split(shown, comments=True)
    end = next((at for at, word in enumerate(words) if _SHELL.match(word)), len(words))
    words = words[:end]
    if words[:1] == ["--plugin"]:  # its file is a reader's own, and would be loaded
        words = words[2:]
    return words


def parsed(words: list[str], *, fragment: bool = False) -> None:
    """Parse a command as the command line does, and validate every option; a fragment need not say everything.

    Raises:
        UsageError, click.ClickException: there is no such command, flag or value.
    """
    fragment = fragment or "…" in words
    rest = [word for at, word in enumerate(words) if word != "…" or words[at - 1].startswith("--")]
    command: click.Command = cli
    name, context = "swift", None
    try:
        while True:
            context = command.make_context(name, list(rest), parent=context)
            command = context.command  # of a verb, this may be a command below it
            if not isinstance(command, click.Group):
                break
            rest = [*context._protected_args, *context.args]  # click has no public name for them
            if not rest:
                return
            found, inner, rest = command.resolve_command(context, rest)
            assert inner is not None
            name, command = found or "", inner
    except click.exceptions.Exit:  # --help, --version
        return
    except click.exceptions.NoArgsIsHelpError:
        return
    except (click.MissingParameter, UsageError) as error:
        if not fragment or (isinstance(error, UsageError) and error.message != "needs at least one value"):
            raise
        return
    if isinstance(command, FlagsCommand):
        _validate(command, command.settings(context.params), fragment=fragment or bool(context.params.get("compare")))


def _validate(command: FlagsCommand, settings: Settings, *, fragment: bool) -> None:
    settings.values = normalise(settings.values)
    if fragment:
        own: dict[str, Any] = {name: value for name, value in FILLED.items() if name in command.verb.parts or name in _required(command)}
        settings.values = {**own, **settings.values}
    try:
        options_and_parts(command.verb, settings, registry())
    except UsageError as error:
        if not fragment or not ("is required" in error.message or error.code == _NOT_SELECTED):
            raise


def _required(command: FlagsCommand) -> set[str]:
    return {flag.path for flag in command._flags.values() if flag.field.required}
