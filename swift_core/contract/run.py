"""A Run: one verb applied once, frozen and JSON-serialisable, with the implementation that answers each part of it.

`run.json` in the run folder *is* the job: every worker and rank reads it by path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from swift_core.contract.errors import UsageError
from swift_core.contract.events import ResultRecord, Status
from swift_core.contract.roles.engines import Server
from swift_core.contract.specs import Ref

SCHEMA = 1
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The implementation chosen for a part, with validated options; `python` is the interpreter that has its engine, if not this one."""

    kind: str  # the part: tuner, backend, …
    name: str  # the implementation's name
    plugin: str  # entry-point name of the plugin that offers it
    distribution: str  # the distribution of the plugin
    version: str  # the distribution's version
    factory: str  # Ref of the spec's factory
    options_class: str = ""  # Ref of the options class; '': no options
    options: Json = field(default_factory=dict)  # validated options, as JSON
    python: str = ""  # interpreter that has its engine; empty: the running one

    def make_options(self) -> Any:
        """Return the validated options object; None for a spec without options."""
        return Ref(self.options_class).load()(**self.options) if self.options_class else None

    def build(self) -> Any:
        """Import the implementation and build it with its options."""
        return Ref(self.factory).load()(self.make_options())


@dataclass(frozen=True, slots=True, kw_only=True)
class DataChoice(Choice):
    """A data set of a run: as requested (`alpaca-en-demo#200`), the number of rows (None: all), and a hash over its files.

    `columns` renames its fields (theirs → ours). `weight` says how often each row is seen an epoch; a fraction is a seeded choice.
    """

    asked: str  # as the user wrote it
    limit: int | None = None  # maximum number of rows; None: all
    hash: str = ""  # one hash over its files
    columns: Mapping[str, str] = field(default_factory=dict)
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A checkpoint that a run starts from, already on this machine. `format` is the name of a `FormatSpec`."""

    reference: str  # as the user wrote it
    path: str  # its folder or file on this machine
    hash: str  # content hash of the checkpoint
    format: str
    family: str  # name of the model family
    plugin: str = ""  # of the family


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A resolved run. `model` is the base; `adapters` are adapter checkpoints on it, by name; `options` are the verb's own.

    `plugins` are the local files that were loaded as plugins; every process of the run loads them too. `date` is the day (ISO 8601) that
    chat templates write into conversations, in every process and however long the run takes; a resumed run keeps it. `server` is the
    running server that the run uses, without its API key, which is never written down. `without_effect` are the names of the options that
    do not affect the result.
    """

    verb: str  # name of the verb
    job: str  # 'module:function' that a worker calls with (run, report)
    model: Source | None = None
    adapters: Mapping[str, Source] = field(default_factory=dict)
    options: Json = field(default_factory=dict)
    parts: Mapping[str, Choice] = field(default_factory=dict)  # part -> the implementation chosen
    datasets: tuple[DataChoice, ...] = ()  # the training, calibration or question rows
    validation: tuple[DataChoice, ...] = ()  # the rows for evaluation
    versions: Mapping[str, str] = field(default_factory=dict)  # distribution -> version
    plugins: tuple[str, ...] = ()
    date: str = ""
    server: Server | None = None
    without_effect: tuple[str, ...] = ()
    schema: int = SCHEMA  # version of this format

    def part(self, kind: str) -> Choice:
        """Return the choice of a part that the verb has."""
        return self.parts[kind]

    def options_with_effect(self) -> dict[str, Any]:
        """Return the options that affect the result."""
        return {name: value for name, value in self.options.items() if name not in self.without_effect}

    def made_with(self) -> dict[str, str]:
        """Name → version of the distributions that answer its parts; a local file by its path, with its hash."""
        return {**self.versions, **{choice.distribution: choice.version for choice in self.parts.values()}}

    @property
    def workers(self) -> int:
        """Return the number of processes on all nodes together."""
        return int(self.options.get("processes", 1)) * int(self.options.get("nodes", 1))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        server = {"url": self.server.url, "models": list(self.server.models)} if self.server else None
        return {**asdict(self), "server": server}

    @classmethod
    def from_json(cls, data: Json) -> Run:
        """Create the object from what `to_json` returned."""
        if int(data.get("schema", 0)) > SCHEMA:
            raise UsageError("this run was written by a newer swift-core", code="RUN-001", hint="pip install --upgrade swift-core")
        values = dict(data)
        values["model"] = Source(**data["model"]) if data.get("model") else None
        values["adapters"] = {name: Source(**value) for name, value in data.get("adapters", {}).items()}
        values["parts"] = {kind: Choice(**value) for kind, value in data.get("parts", {}).items()}
        for key in ("datasets", "validation"):
            values[key] = tuple(DataChoice(**value) for value in data.get(key, ()))
        for key in ("plugins", "without_effect"):
            values[key] = tuple(data.get(key, ()))
        if server := data.get("server"):
            values["server"] = Server(server["url"], tuple(server["models"]))
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The result of a run. `output` is the checkpoint or file that it made, `figures` are its numbers.

    A run that a scheduler does later is `prepared` or `submitted`; its `output` is what the scheduler gets, or got.
    """

    status: Status  # done, failed, stopped, prepared or submitted
    folder: Path  # the run folder
    output: Path | None = None
    figures: Json = field(default_factory=dict)

    def to_json(self) -> ResultRecord:
        """Plain JSON values."""
        return {"status": self.status, "folder": str(self.folder), "output": str(self.output or ""), "figures": dict(self.figures)}
