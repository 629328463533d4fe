"""The plugins that a checkpoint or an interrupted run was made with: which distribution, and which version of a local file.

A local file is recorded by its absolute path and its content hash. It is never loaded just because a record names it, since a checkpoint
may come from an untrusted source. To continue, the user names the file again (`--plugin FILE.py`): an error says if it is missing, a note
if it has changed.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from swift_core.checkpoints import Checkpoint, MakerRecord, Manifest
from swift_core.contract import Choice, Run, Source, UsageError
from swift_core.plugins import Registry, local
from swift_core.system import read_run


def maker_of(known: Registry, kind: str, manifest: Manifest | None, default: str = "") -> Choice:
    """Return the tuner, quantizer or loader that a checkpoint was made with, from the plugin that provided it.

    Args:
        known: the registry of installed plugins.
        kind: `tuner`, `quantizer` or `loader`.
        manifest: the manifest of the checkpoint, if it has one.
        default: the name to use if the manifest has none.

    Raises:
        UsageError: the plugin is not installed or loaded; if it was a local file, the message names that file.
    """
    made = manifest or Manifest()
    record: MakerRecord = {"tuner": made.tuner, "quantizer": made.quantizer, "loader": made.loader}[kind]
    name = str(record.get("name", default))
    origin = str(record.get("plugin", "")) or known.owner(kind, name)
    try:
        return known.choose(kind, name, record.get("options", {}), origin=origin)
    except UsageError as error:
        files = [file for file in map(local.file_of, manifest.versions) if file and file.stem == origin] if manifest else []
        if files and not _loaded(files[0]):
            raise _missing(f"the {kind} '{name}'", files[0]) from error
        raise


def recorded_loader(sources: Iterable[Source], known: Registry) -> Choice | None:
    """Return the loader that the first of the checkpoints with such a record was made with; None if none has a record.

    Raises:
        UsageError: no installed plugin offers it.
    """
    manifests = (Checkpoint.at(source.path).manifest for source in sources)
    manifest = next((manifest for manifest in manifests if manifest and manifest.loader), None)
    return maker_of(known, "loader", manifest) if manifest else None


def check_resume(asked: Any) -> None:
    """Check that every local plugin file which the interrupted run used is loaded now.

    Args:
        asked: the option `resume`: a run folder or a checkpoint, or a mapping with its `name`.

    Raises:
        UsageError: a file is not loaded; the message names it, and the hint what to add.
    """
    run = interrupted_run(asked)
    for choice in (*run.parts.values(), *run.datasets, *run.validation) if run else ():
        file = local.file_of(choice.distribution)
        if file and not _loaded(file):
            raise _missing(f"the {choice.kind} '{choice.name}'", file)


def notes(run: Run) -> Iterator[str]:
    """Yield a note for each local plugin file that has changed since the checkpoint or interrupted run was made."""
    sources = [source for source in (run.model, *run.adapters.values()) if source]
    records = [manifest.versions for source in sources if (manifest := Checkpoint.at(source.path).manifest)]
    interrupted = interrupted_run(run.options.get("resume"))
    now = {path.stem: local.version(path) for path in local.local_plugins()}
    for name, version in {**{name: text for record in records for name, text in record.items()}, **(interrupted or run).versions}.items():
        file = local.file_of(name)
        if file and now.get(file.stem, version) != version:
            yield f"{file.name} has changed since: its hash was {version} ({file}) and is now {now[file.stem]}"


def interrupted_run(asked: Any) -> Run | None:
    """Return the run of a named checkpoint or run folder; None if no name is given or its record can't be read."""
    name = asked.get("name") if isinstance(asked, Mapping) else asked
    return read_run(Path(name)) if isinstance(name, str) and name and (Path(name) / "run.json").is_file() else None


def _loaded(file: Path) -> bool:
    return any(path.stem == file.stem for path in local.local_plugins())


def _missing(what: str, file: Path) -> UsageError:
    if file.is_file():
        return UsageError(
            f"{what} was defined in the local file {file}, which is not loaded",
            code="RUN-017",
            where="--plugin",
            hint=f"Load it again: swift --plugin {shlex.quote(str(file))} …",
        )
    hint = "Restore the file, or give its new path: swift --plugin FILE.py …"
    return UsageError(f"{what} was defined in the local file {file}, which no longer exists", code="RUN-018", where="--plugin", hint=hint)
