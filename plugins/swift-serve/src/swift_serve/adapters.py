"""List, add and drop adapters of a running server, whichever engine it uses. The server is identified by its run folder.

An added adapter must pass the same checks as one given at the start: it was trained on this base model, it gets the tokens that it was
trained on, and it changes the output. Otherwise it is dropped again.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

from swift_core.checkpoints import Checkpoint, Fetcher, check_base
from swift_core.contract import AdapterEvent, BackendSpec, Progress, ReadyEvent, Run, Server, SwiftError, UsageError, suggestion
from swift_core.plugins import Registry, registry
from swift_core.runs import EVENTS, read_events
from swift_core.system import read_run
from swift_serve.acceptance import Note, check_effect, check_tokens
from swift_serve.client import Client
from swift_serve.roles import Backend


@dataclass(frozen=True, slots=True)
class _Running:
    """A server started by `swift serve`."""

    folder: Path
    run: Run
    spec: BackendSpec
    backend: Backend
    server: Server

    @property
    def base(self) -> str:
        """The model name of the base model."""
        return self.server.models[0]

    def adapters(self) -> list[str]:
        """Return the names of the adapters that the engine has loaded."""
        return [name for name in Client(self.server).models() if name != self.base]


def listed(where: str | Path | Server) -> dict[str, str]:
    """Return the adapters of a running server, as adapter name → model name for clients.

    Args:
        where: the server's run folder, or the server.

    Raises:
        UsageError: it is not the run folder of a running server.
    """
    running = _running(where, registry())
    return {name: running.spec.adapter_model(running.base, name) for name in running.adapters()}


def add(
    where: str | Path | Server,
    name: str,
    adapter: str | Path,
    *,
    allow_other_base: bool = False,
    note: Note | None = None,
    progress: Progress | None = None,
) -> str:
    """Add an adapter to a running server, and return its model name for clients.

    Args:
        where: the server's run folder, or the server.
        name: the name of the adapter.
        adapter: its checkpoint: a folder, a run folder or a reference.
        allow_other_base: accept an adapter that was trained on another base model.
        note: called with a text for each check that is not possible.
        progress: called during the download.

    Raises:
        UsageError: it is not an adapter, or not for this base model; the name is taken; the server's adapters are fixed.
        SwiftError: it has no effect, or gets other tokens than it was trained on; it is dropped again.
    """
    known = registry()
    running = _changeable(where, known)
    if name in (running.base, *running.adapters()):
        raise UsageError(
            f"the server already has a model '{name}'", code="SERVE-053", where=running.server.url, hint="Choose another name."
        )
    fetcher = Fetcher(known, hub=str(running.run.options["hub"]), progress=progress)
    source = fetcher.source(str(adapter), "adapter")
    if not Checkpoint.at(source.path).spec.adapter:
        message = f"'{adapter}' is a {source.format} checkpoint, not an adapter"
        raise UsageError(message, code="SERVE-054", where="adapter", hint="Serve it with swift serve.")
    folder = Path(source.path).resolve()
    if running.run.model and not allow_other_base:
        check_base(folder, running.run.model)
    running.backend.add_adapter(running.server, name, folder)
    model, say = running.spec.adapter_model(running.base, name), note or (lambda _: None)
    try:
        check_tokens(running.server, model, folder, say, refuse=running.run.options["parity"] == "refuse")
        check_effect(running.server, running.base, model, folder, say)
    except SwiftError:
        running.backend.drop_adapter(running.server, name)
        raise
    _record(running.folder, {"event": "adapter_added", "name": name, "path": str(folder), "hash": source.hash})
    return model


def drop(where: str | Path | Server, name: str) -> None:
    """Stop serving an adapter.

    Args:
        where: the server's run folder, or the server.
        name: the name of the adapter.

    Raises:
        UsageError: there is no such adapter, or the server's adapters are fixed.
    """
    running = _changeable(where, registry())
    if name not in (names := running.adapters()):
        hint = suggestion(name, names) or (f"Its adapters: {', '.join(names)}." if names else "It has no adapters.")
        raise UsageError(f"the server has no adapter '{name}'", code="SERVE-055", where=running.server.url, hint=hint)
    running.backend.drop_adapter(running.server, name)
    _record(running.folder, {"event": "adapter_dropped", "name": name})


def _changeable(where: str | Path | Server, known: Registry) -> _Running:
    running = _running(where, known)
    if not running.spec.runtime_adapters:
        raise UsageError(
            f"{running.spec.name} can't change adapters while it runs",
            code="SERVE-056",
            where=str(running.folder),
            hint="Start it again with other --adapter flags.",
        )
    if not running.run.options["runtime_adapters"]:
        raise UsageError(
            "the server's adapters are fixed",
            code="SERVE-057",
            where=str(running.folder),
            hint="Start it with --runtime-adapters to change them later.",
        )
    return running


def _running(where: str | Path | Server, known: Registry) -> _Running:
    folder = where.folder if isinstance(where, Server) else Path(where)
    if folder is None:
        raise UsageError(
            "the server has no run folder", code="SERVE-058", hint="Give a server that swift serve or swift_core.serve started."
        )
    run = read_run(folder)
    if run.verb != "serve":
        raise UsageError(
            f"this is a run of swift {run.verb}, not a server",
            code="SERVE-059",
            where=str(folder),
            hint="Give a run folder of swift serve.",
        )
    server = Server.from_event(_ready(folder), folder)
    choice = run.part("backend")
    return _Running(
        folder=folder,
        run=run,
        spec=known.spec(choice, BackendSpec),
        backend=choice.build(),
        server=replace(server, api_key=os.environ.get(str(run.options["api_key_env"])) or server.api_key),
    )


def _ready(folder: Path) -> ReadyEvent:
    """Return the server's ready event."""
    ready = next((event for event in read_events(folder) if event["event"] == "ready"), None)
    if (folder / "result.json").is_file():
        raise UsageError("the server has stopped", code="SERVE-060", where=str(folder), hint="Start it again: swift serve.")
    if ready is None:
        raise UsageError("the server is not ready yet", code="SERVE-061", where=str(folder), hint="Check its progress in log.txt.")
    return ready


def _record(folder: Path, event: AdapterEvent) -> None:
    """Append an event to the run folder, as a record of what was served when."""
    with (folder / EVENTS).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"time": round(time.time(), 3), **event}, ensure_ascii=False) + "\n")
