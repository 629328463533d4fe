"""Roles that serve models and start processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from swift_core.contract.events import ReadyEvent, Watch
    from swift_core.contract.specs import Command


@dataclass(frozen=True, slots=True)
class Server:
    """A running OpenAI-compatible server."""

    url: str  # base URL of the API, ending in /v1
    models: tuple[str, ...] = ()  # the model names that clients send, the base model first; empty if they are not known yet
    api_key: str | None = None  # the API key that clients must send, if it has one; never written to a file
    folder: Path | None = None  # the run folder of a server that `swift serve` or `swift_core.serve` started

    @classmethod
    def at(cls, url: str, *, api_key: str | None = None) -> Server:
        """Return the server at a URL, whose models are not known yet."""
        return cls(url, api_key=api_key)

    @classmethod
    def from_event(cls, event: ReadyEvent, folder: Path) -> Server:
        """Return the server of the run in `folder`, which has reported that it is ready."""
        return cls(event["url"], tuple(event["models"]), event["api_key"], folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What an engine serves, and at which address. A dataclass, so that fields can be added without breaking existing backends.

    `name` is the model name that clients send, `adapters` maps further names to folders; `python` is the interpreter that has the engine;
    `hash` is the checkpoint's content hash if it is known; `allow_other_base`: accept adapters that were trained on another base model;
    `trust_remote_code`: the user trusts the Python code of this repository at this revision; `runtime_adapters`: allow adapters to be
    added and removed while the engine runs.
    """

    checkpoint: Path  # the folder of the base model
    name: str
    adapters: Mapping[str, Path] = field(default_factory=dict)
    host: str = "127.0.0.1"  # the address to listen on
    port: int  # the port to listen on
    api_key: str | None = None  # the key that clients must send; belongs into `Command.env`
    python: str
    trust_remote_code: bool = False
    runtime_adapters: bool = False
    hash: str = ""
    allow_other_base: bool = False


class Backend(Protocol):
    """A serving engine, started by a command line; `swift serve` starts, monitors and stops it."""

    def command(self, serving: Serving) -> Command:
        """Return the command that starts the engine.

        The API key goes into the environment, never into the arguments, which every user of the machine can read.

        Raises:
            UsageError: the backend does not support adapters, and some are given.
        """
        ...

    def add_adapter(self, server: Server, name: str, path: Path) -> None:
        """Add an adapter to the running server, from a folder that it can read. The caller checks that it has an effect."""
        ...

    def drop_adapter(self, server: Server, name: str) -> None:
        """Remove an adapter from the running server."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineEnvironment:
    """What a plugin knows of the environment for an engine."""

    python: str = ""  # the interpreter of the environment; '' if there is no usable one
    problem: str = ""  # why an existing environment is not usable
    create: tuple[str, ...] = ()  # the command that creates the environment


class Launcher(Protocol):
    """Starts the worker processes of a run folder and returns when all have ended."""

    def launch(self, run: Path, *, processes: int, nodes: int, environment: Mapping[str, str], watch: Watch) -> int:
        """Start `processes` workers a node, pass each event of rank 0 to `watch`, and return the exit code.

        Ctrl-C once asks the workers to stop and save; twice ends them at once.
        """
        ...
