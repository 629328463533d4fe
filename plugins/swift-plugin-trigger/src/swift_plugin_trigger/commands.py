"""`swift trigger`: the verb, and commands that begin with another word."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swift_core.cli import VerbCommand, print_table
from swift_core.contract import Ref, UsageError

if TYPE_CHECKING:
    from swift_plugin_trigger.store import Store

_STORE = click.option("--store", default="trigger", show_default=True, type=click.Path(path_type=Path), help="Folder with the state.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
SUBCOMMANDS: Mapping[str, Ref] = {
    name: Ref(f"swift_plugin_trigger.commands:{name}") for name in ("show", "retry", "trace")
}  # fmt: skip


class TriggerCommand(VerbCommand):
    """The verb; `swift trigger show` and the like are commands of their own."""

    def make_context(self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any) -> click.Context:
        """Return the context of the command that the first word names, else of the verb."""
        if args and args[0] in SUBCOMMANDS:
            command: click.Command = SUBCOMMANDS[args[0]].load()
            return command.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command("show", short_help="Show the messages of a trigger and their states")
@_STORE
@_JSON
def show(store: Path, as_json: bool) -> int:
    """Show every message: its state, the number of delivery attempts, and the result of the last one."""
    opened = _opened(store)
    messages = opened.all_messages()
    notes = {name: event.note for name in {each.event for each in messages} if (event := opened.event(name))}
    said = [each.note or notes[each.event] for each in messages]
    if as_json:
        rows = [{"id": each.id, "state": each.state, "tries": each.tries, "note": text} for each, text in zip(messages, said, strict=True)]
        click.echo(json.dumps(rows, ensure_ascii=False))
        return 0
    print_table(
        ["message", "state", "by", "tries", "note"],
        [
            [each.id, each.state, str(each.record.get("by", "")), str(each.tries), text.partition("\n")[0][:80]]
            for each, text in zip(messages, said, strict=True)
        ],
    )
    click.echo(", ".join(f"{count} {state}" for state, count in Counter(each.state for each in messages).items()) or "no message")
    return 0


@click.command("retry", short_help="Retry dead messages")
@_STORE
@click.argument("messages", nargs=-1)
def retry(store: Path, messages: tuple[str, ...]) -> int:
    """Retry dead MESSAGES (default: all) from the step that failed; the running trigger picks them up."""
    opened = _opened(store)
    names = messages or [each.id for each in opened.all_messages() if each.state == "dead"]
    unknown = [name for name in names if not opened.revive(name)]
    if unknown:
        raise UsageError(
            f"'{unknown[0]}' is not a dead message", code="TRIGGER-003", where=str(store), hint="swift trigger show lists them."
        )
    click.echo(f"{len(names)} messages will be retried")
    return 0


@click.command("trace", short_help="Trace a message back to its event, prompt, model and data")
@click.argument("message")
@_STORE
@click.option("--runs", default="runs", show_default=True, type=click.Path(path_type=Path), help="Folder with the run folders.")
@_JSON
def trace(message: str, store: Path, runs: Path, as_json: bool) -> int:
    """Trace MESSAGE (EVENT/VARIANT) back to its event, its prompt, the model that generated it, and the data of its training.

    Exits with 1 if the text differs from the recorded one, or its run folder is missing.
    """
    from swift_plugin_trigger.tracing import lines, traced

    found = traced(_opened(store), message, runs)
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        for line in lines(found):
            click.echo(line)
    return 1 if found["problem"] else 0


def _opened(folder: Path) -> Store:
    from swift_plugin_trigger.store import Store

    if not (folder / "trigger.db").is_file():
        raise UsageError(
            "this folder has no state of a trigger",
            code="TRIGGER-004",
            where=str(folder),
            hint="Give the folder of swift trigger: --store.",
        )
    return Store(folder)
