"""A Run: one verb applied once, frozen and JSON-serialisable, with the implementation that answers each part of it.

`run.json` in the run folder *is* the job: every worker and rank reads it by path.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from swift_core.contract.errors import UsageError
from swift_core.contract.specs import Ref
from swift_core.system import paths

SCHEMA = 1
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The implementation chosen for a part, with its validated options; `python` has its engine, where that is not this interpreter."""

    kind: str
    name: str
    plugin: str  # entry-point name of the plugin that offers it
    distribution: str
    version: str
    factory: str
    options_class: str = ""
    options: Json = field(default_factory=dict)
    python: str = ""

    def make_options(self) -> Any:
        """The validated options object (None for a spec without options)."""
        return Ref(self.options_class).load()(**self.options) if self.options_class else None

    def build(self) -> Any:
        """Import the implementation and build it with its options."""
        return Ref(self.factory).load()(self.make_options())


@dataclass(frozen=True, slots=True, kw_only=True)
class DataChoice(Choice):
    """A data set: what was asked (`alpaca-en-demo#200`), how many rows of it (None: all), and one hash over its files.

    `columns` renames its fields (theirs → ours). `weight` says how often each row is seen an epoch; a fraction is a seeded choice.
    """

    asked: str
    limit: int | None = None
    hash: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A checkpoint that a run starts from, already on this machine. `format` is adapter, safetensors, gguf or openvino."""

    reference: str
    path: str
    hash: str
    format: str
    family: str
    plugin: str = ""  # of the family


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A resolved run. `model` is the base; `adapters` are adapter checkpoints on it, by name; `options` are the verb's own.

    `plugins` are the local files that were loaded as plugins; every process of the run loads them too. `date` is the day (ISO 8601) that
    chat templates write into conversations, in every process and however long the run takes; a resumed run keeps it.
    """

    verb: str
    job: str  # 'module:function' that a worker calls with (run, report)
    model: Source | None = None
    adapters: Mapping[str, Source] = field(default_factory=dict)
    options: Json = field(default_factory=dict)
    parts: Mapping[str, Choice] = field(default_factory=dict)
    datasets: tuple[DataChoice, ...] = ()
    validation: tuple[DataChoice, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    date: str = ""
    schema: int = SCHEMA

    def part(self, kind: str) -> Choice:
        """The choice for a part that the verb is known to have."""
        return self.parts[kind]

    def made_with(self) -> dict[str, str]:
        """Name → version of the distributions that answer its parts; a local file by its path, with its hash."""
        return {**self.versions, **{choice.distribution: choice.version for choice in self.parts.values()}}

    @property
    def workers(self) -> int:
        """How many processes it has, on all nodes together."""
        return int(self.options.get("processes", 1)) * int(self.options.get("nodes", 1))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Json) -> Run:
        """The inverse of `to_json`."""
        if int(data.get("schema", 0)) > SCHEMA:
            raise UsageError("this run was written by a newer swift-core", hint="pip install --upgrade swift-core")
        values = dict(data)
        values["model"] = Source(**data["model"]) if data.get("model") else None
        values["adapters"] = {name: Source(**value) for name, value in data.get("adapters", {}).items()}
        values["parts"] = {kind: Choice(**value) for kind, value in data.get("parts", {}).items()}
        for key in ("datasets", "validation"):
            values[key] = tuple(DataChoice(**value) for value in data.get(key, ()))
        values["plugins"] = tuple(data.get("plugins", ()))
        return cls(**values)

    def fingerprint(self) -> str:
        """A hash of everything that decides the outcome, and nothing that does not (paths, output folder)."""
        data = self.to_json()
        del data["plugins"]  # a part that one of them offers has the file's hash as its version
        del data["date"]  # what was made yesterday is made
        for source in [data["model"], *data["adapters"].values()]:
            if source:
                del source["path"], source["reference"]
        for choice in data["parts"].values():
            del choice["python"]
        places = ("output", "runs", "overwrite", "model", "adapter", "envs")
        data["options"] = {key: value for key, value in data["options"].items() if key not in places}
        return paths.digest(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ended. `output` is the checkpoint or file it made; `figures` its numbers.

    A run that a scheduler does later is `prepared` or `submitted`; its `output` is what the scheduler gets, or got.
    """

    status: str  # done, failed, stopped, prepared, submitted
    folder: Path
    output: Path | None = None
    figures: Json = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"status": self.status, "folder": str(self.folder), "output": str(self.output or ""), "figures": dict(self.figures)}


def new_folder(run: Run, runs: Path) -> Path:
    """Make `runs/YYYYmmdd-HHMMSS-verb-xxxx` with the run's `run.json` in it."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = runs / f"{stamp}-{run.verb}-{secrets.token_hex(2)}"
    write_run(run, folder)
    return folder


def write_run(run: Run, folder: Path) -> None:
    """Write `run.json`; the places in it are absolute, so that it can be read from anywhere."""
    paths.write_json(folder / "run.json", _placed(run).to_json())


def _placed(run: Run) -> Run:
    """The run with absolute places where it writes, and goes on from."""
    options = dict(run.options)
    for name in ("output", "runs"):
        if options.get(name):
            options[name] = str(Path(options[name]).absolute())
    resume = options.get("resume")
    if isinstance(resume, str) and resume:
        options["resume"] = str(Path(resume).absolute())
    elif isinstance(resume, Mapping) and resume.get("name"):
        options["resume"] = {**resume, "name": str(Path(resume["name"]).absolute())}
    return replace(run, options=options)


def write_result(folder: Path, result: Json) -> None:
    """Write `result.json`, with absolute places."""
    places = {key: str(Path(result[key]).absolute()) for key in ("folder", "output") if result.get(key)}
    paths.write_json(folder / "result.json", {"schema": 1, **result, **places})


def made_by(folder: Path) -> Path | None:
    """What the run in `folder` has made, wherever the folder is now; None where it has made nothing.

    What lay in the run folder is looked for in it, though that has been moved or copied.
    """
    try:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if not result.get("output"):
        return None
    made, before = Path(result["output"]), Path(result.get("folder") or folder)
    return folder / made.relative_to(before) if made.is_relative_to(before) else made


def read_run(folder: Path) -> Run:
    """Read `run.json`.

    Raises:
        UsageError: the folder is not a run folder.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise UsageError("not a run folder: it has no run.json", where=str(folder), hint="Run folders are below runs/.")
    return Run.from_json(json.loads(path.read_text(encoding="utf-8")))


def output_path(run: Run, folder: Path) -> Path:
    """Where the run's checkpoint goes: `--output`, else `output` in the run folder."""
    return Path(run.options["output"]) if run.options.get("output") else folder / "output"
