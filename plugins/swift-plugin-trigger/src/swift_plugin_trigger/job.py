"""Job of `swift trigger`: read the definition, get a server if it asks a model, then serve, or answer given events and end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from swift_serve.temporary_server import server_for

from swift_core.contract import Run, RunResult, Server, SwiftError, UsageError, note
from swift_core.runs import Context, Draft
from swift_core.system import locked
from swift_plugin_trigger.answering import Author
from swift_plugin_trigger.definition import Definition, HttpSource, read_definition
from swift_plugin_trigger.delivery import variable
from swift_plugin_trigger.intake import Intake
from swift_plugin_trigger.recording import MESSAGES
from swift_plugin_trigger.screening import check
from swift_plugin_trigger.service import Service, serve
from swift_plugin_trigger.sources.files import take_file
from swift_plugin_trigger.store import Store


def prepare(draft: Draft) -> None:
    """Check the definition before anything is downloaded; a trigger that asks no model needs no backend.

    Raises:
        UsageError: it is wrong, a variable that it names is not set, or nothing can answer.
    """
    definition = _definition(draft.options)
    check(definition.screen)
    for name in (definition.deliver.token_env, definition.deliver.secret_env, definition.http.token_env if definition.http else ""):
        variable(name)
    if definition.answer.recipe:
        draft.parts.pop("backend", None)
        if not definition.answer.recipe.is_file():
            raise UsageError(
                "the recipe does not exist",
                code="TRIGGER-014",
                where=str(definition.answer.recipe),
                hint="Check answer.recipe of the definition.",
            )
    elif not draft.options["model"] and not draft.options["url"]:
        raise UsageError(
            "no model and no --url given", code="TRIGGER-015", where="model", hint="Give a checkpoint, or a running server with --url."
        )


def carry_out(run: Run, context: Context) -> RunResult:
    """Serve until Ctrl-C or SIGTERM; with `--events`, answer these, and end when their messages are delivered.

    Raises:
        UsageError: another process uses the store, or an event is not valid.
        SwiftError: a message of `--events` was not delivered.
    """
    definition, folder = _definition(run.options), Path(run.options["store"])
    with ExitStack() as stack:
        stack.enter_context(locked(folder, waiting=lambda: _taken(folder)))
        stack.enter_context(_terminable())
        server = None if definition.answer.recipe else stack.enter_context(_server(run, context))
        store = Store(folder)
        stack.callback(store.close)

        def say(text: str) -> None:
            if context.watch:
                context.watch(note(text))

        author = Author(definition=definition, server=server, runs=context.runs)
        service = Service(definition, store, author, replace(run, server=_without_key(server)), context.runs, say)
        intake = Intake.of(definition, store, service.work)
        if run.options["events"]:
            return _once(service, intake, [Path(file) for file in run.options["events"]])
        try:
            serve(service, intake)
        except KeyboardInterrupt:
            say("stopped; open messages are resumed at the next start")
        return RunResult(status="stopped", folder=folder, figures={"open_messages": store.open()})


def _once(service: Service, intake: Intake, files: list[Path]) -> RunResult:
    events = [take_file(file, intake, "command") for file in files]
    with service.working():
        service.finish(events)
    messages = [message for event in events for message in service.store.messages(event)]
    dead = [message for message in messages if message.state == "dead"]
    if dead:
        hint = f"See {service.store.folder / 'dead-letters.jsonl'}; then: swift trigger retry --store {service.store.folder}."
        raise SwiftError(
            f"{len(dead)} of {len(messages)} messages are dead: {dead[0].note}", code="TRIGGER-016", where=dead[0].id, hint=hint
        )
    recorded = [event.folder for name in events if (event := service.store.event(name))]
    figures: dict[str, Any] = {"events": len(events), "messages": len(messages)}
    figures["delivered"] = sum(message.state == "delivered" for message in messages)
    figures["fallbacks"] = sum(message.record["by"] == "fallback" for message in messages)
    return RunResult(status="done", folder=Path(recorded[-1]), output=Path(recorded[-1]) / MESSAGES, figures=figures)


def _definition(options: Any) -> Definition:
    if not options["definition"]:
        raise UsageError(
            "no definition given",
            code="TRIGGER-017",
            where="definition",
            hint="swift trigger --definition FILE.yaml; see docs/how-to/trigger.md.",
        )
    found = read_definition(Path(options["definition"]))
    if options["deliver_to"]:
        found = found.model_copy(update={"deliver": found.deliver.model_copy(update={"url": options["deliver_to"]})})
    given = {name: options[name] for name in ("host", "port") if options[name] not in ("", None)}
    return found.model_copy(update={"http": (found.http or HttpSource()).model_copy(update=given)}) if given else found


@contextmanager
def _server(run: Run, context: Context) -> Iterator[Server]:
    """Yield the server that is asked. One that is named by its URL need not run yet: its models are looked up when it is asked."""
    with server_for(run, context.runs, watch=context.watch) as server:
        yield server


def _without_key(server: Server | None) -> Server | None:
    return replace(server, api_key=None) if server else None


def _taken(folder: Path) -> None:
    hint = "Stop it, or choose another folder with --store."
    raise UsageError("another process of swift trigger uses this folder", code="TRIGGER-018", where=str(folder), hint=hint)


@contextmanager
def _terminable() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C while the block runs, if this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
