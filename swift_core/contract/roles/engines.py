"""A running server, the environment of an engine, and the role that starts processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from swift_core.contract.events import ReadyEvent, Watch


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
class EngineEnvironment:
    """The environment of an engine, as a plugin reports it."""

    python: str = ""  # the interpreter of the environment; '' if there is no usable one
    problem: str = ""  # why an existing environment is not usable
    create: tuple[str, ...] = ()  # the command that creates the environment


class Launcher(Protocol):
    """A launcher: starts the worker processes of a run folder and returns when all have ended."""

    def launch(self, run: Path, *, processes: int, nodes: int, environment: Mapping[str, str], watch: Watch) -> int:
        """Start `processes` workers a node, pass each event of rank 0 to `watch`, and return the exit code.

        Ctrl-C once asks the workers to stop and save; twice ends them at once.
        """
        ...
