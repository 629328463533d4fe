"""The facts of a run that are recorded: who, where, what was asked, data, base, versions, result, outputs."""

from __future__ import annotations

import getpass
import os
import platform
import socket
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from swift_provenance.licences import terms_of_checkpoint, terms_of_data

from swift_core.checkpoints import Checkpoint, hash_files
from swift_core.contract import Choice, DataChoice, ResultRecord, Run, Source, SwiftError
from swift_core.plugins import registry
from swift_core.system import digest, sha256_of

_RECORDS = ("run.json", "result.json", "metrics.jsonl", "events.jsonl")
_ENGINES = ("torch", "transformers", "peft", "tokenizers", "safetensors")


def of_start(run: Run, folder: Path) -> dict[str, Any]:
    """Return the sections of the entry on the start of a run."""
    asked = {
        "verb": run.verb,
        "options": dict(run.options),
        "parts": {part: {"name": choice.name, "options": dict(choice.options)} for part, choice in run.parts.items()},
        "server": run.server.url if run.server else "",
        "plugins": list(run.plugins),
        "date": run.date,
    }
    base = [_source(source, name) for name, source in {"": run.model, **run.adapters}.items() if source]
    data = [_data(choice, use) for use, choices in (("training", run.datasets), ("validation", run.validation)) for choice in choices]
    return {
        "who": who(),
        "where": {"host": socket.gethostname(), "system": platform.platform(), "folder": os.getcwd(), "run": str(folder.absolute())},
        "asked": asked,
        "base": base,
        "data": data,
        "versions": _versions(run),
        "records": records(folder),
    }


def who() -> dict[str, Any]:
    """Return the user of this process, and the one who became that user by sudo."""
    found: dict[str, Any] = {"pid": os.getpid()}
    with suppress(OSError, KeyError):
        found["user"] = getpass.getuser()
    if hasattr(os, "getuid"):
        found["uid"] = os.getuid()
    if sudo := os.environ.get("SUDO_USER"):
        found["sudo_user"] = sudo
    return found


def event_of(result: ResultRecord) -> str:
    """Return the event of a result: run-done, run-failed, run-stopped, run-submitted, …"""
    return f"run-{result['status']}"


def of_ended(folder: Path, result: ResultRecord | None) -> dict[str, Any]:
    """Return the sections of the entry on a run whose end was found later; without a result, its process was killed."""
    known: ResultRecord = result or {"error": "killed: its process ended without a result"}
    return {**of_end(folder, known), "found": who()}


def of_end(folder: Path, result: ResultRecord) -> dict[str, Any]:
    """Return the sections of the entry on the end of a run."""
    about = {key: value for key, value in result.items() if key not in ("schema", "folder", "output")}
    return {"result": about, "outputs": outputs(result), "records": records(folder)}


def outputs(result: ResultRecord) -> list[dict[str, Any]]:
    """Return the path, content hash and file hashes of what a run made."""
    path = Path(result.get("output") or "")
    if not result.get("output") or not path.exists():
        return []
    return [{"path": str(path.absolute()), **content_of(path)}]


def content_of(path: Path) -> dict[str, Any]:
    """Return the content hash of a checkpoint or file, and the SHA-256 of its files; a checkpoint's as its manifest records them."""
    if path.is_file():
        return {"hash": sha256_of([path])[path]}
    with suppress(SwiftError):
        manifest = Checkpoint.at(path).manifest
        if manifest and manifest.files:
            return {"hash": manifest.hash, "files": dict(manifest.files)}
    found = hash_files(path)
    return {"hash": digest(found), "files": found}


def records(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of the records in a run folder."""
    found = [path for name in _RECORDS if (path := folder / name).is_file()]
    return {path.name: value for path, value in sha256_of(found).items()}


def _source(source: Source, name: str) -> dict[str, Any]:
    terms = terms_of_checkpoint(Path(source.path), source.reference)
    found = {"reference": source.reference, "hash": source.hash, "path": source.path, "licence": terms.licence, "origin": terms.origin}
    return {**found, "adapter": name} if name else found


def _data(choice: DataChoice, use: str) -> dict[str, Any]:
    terms = terms_of_data(choice, registry())
    return {
        "asked": choice.asked,
        "use": use,
        "hash": choice.hash,
        "rows": choice.limit,
        "weight": choice.weight,
        "licence": terms.licence,
        "origin": terms.origin,
        "reader": f"{choice.distribution} {choice.version}",
    }


def _versions(run: Run) -> dict[str, str]:
    """Return the versions of Python, of the distributions of the parts, and of their engines in this environment."""
    choices = (*run.parts.values(), *run.datasets, *run.validation)
    found = {"python": platform.python_version(), **run.made_with()}
    found |= {choice.distribution: choice.version for choice in choices}
    for name in dict.fromkeys([*_ENGINES, *(name for choice in choices if not choice.python for name in _engine_of(choice))]):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found | {f"interpreter of {choice.name}": choice.python for choice in choices if choice.python}


def _engine_of(choice: Choice) -> Iterator[str]:
    try:
        engines = registry().spec(choice).engines
    except SwiftError:
        return
    for engine in engines:
        for text in engine.requirements:
            with suppress(InvalidRequirement):
                yield Requirement(text).name
