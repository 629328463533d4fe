"""The role of serving backends: the command that starts an engine, and what the engine serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from swift_core.contract import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A process to start: arguments (never a shell string), variables to add, and the path that answers 200 when it is ready."""

    argv: tuple[str, ...]  # program and arguments; others can read them, so they hold no secret
    env: Mapping[str, str] = field(default_factory=dict)  # variables added to the environment
    ready: str = "/health"  # path that returns 200 once it is ready; '': it has no HTTP API


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The models, adapters and address that an engine serves. A dataclass, so that fields can be added without breaking existing backends.

    `name` is the model name that clients send, `adapters` maps further names to folders; `python` is the interpreter that has the engine;
    `hash` is the checkpoint's content hash if it is known; `allow_other_base`: accept adapters that were trained on another base model;
    `trust_remote_code`: the user trusts the Python code of this repository at this revision; `runtime_adapters`: allow adapters to be
    added and removed while the engine runs; `runtime_weights`: allow all weights to be replaced.
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
    runtime_weights: bool = False
    hash: str = ""
    allow_other_base: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineNode:
    """A machine of an engine that spans several."""

    rank: int  # from 0; rank 0 has the API
    nodes: int  # number of machines
    address: str  # at which rank 0 is reached
    port: int  # on rank 0, at which the machines meet


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


@runtime_checkable
class ReloadingBackend(Backend, Protocol):
    """A backend whose running server can replace all of its weights, as online training needs without an adapter."""

    def reload(self, server: Server, checkpoint: Path) -> None:
        """Replace the weights of the base model by those of a checkpoint of the same architecture; cached prefixes are dropped.

        Raises:
            UsageError: the server does not allow it, or refuses this checkpoint.
            SwiftError: the server does not respond or failed.
        """
        ...


@runtime_checkable
class SpanningBackend(Backend, Protocol):
    """A backend whose engine can span several machines."""

    def node_command(self, serving: Serving, node: EngineNode) -> Command:
        """Return the command that starts the engine's part on a machine; with an empty `ready` if that has no API.

        Raises:
            UsageError: as `command`.
        """
        ...
