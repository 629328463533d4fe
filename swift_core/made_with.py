"""What a checkpoint or an interrupted run was made with: the very plugin of its tuner, and local files as they were.

A local file is recorded by its absolute path and its content hash. It is never loaded because a record names it: a checkpoint may come
from anywhere. So who goes on names it again (`--plugin FILE.py`), is told so where it is missing, and told where it has changed.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from swift_core import local_plugins
from swift_core.checkpoint import Manifest, read_manifest
from swift_core.errors import UsageError
from swift_core.registry import Registry
from swift_core.run import Choice, Run, read_run


def maker(known: Registry, kind: str, manifest: Manifest | None, default: str = "") -> Choice:
    """The tuner, quantizer or loader that a checkpoint was made with, of the plugin that it came from.

    Args:
        known: where it is looked up.
        kind: `tuner`, `quantizer` or `loader`.
        manifest: the checkpoint's, where it has one.
        default: the name that counts where the manifest says none.

    Raises:
        UsageError: it is not here; a local file that it came from is named.
    """
    record: Mapping[str, Any] = getattr(manifest, kind, {})
    name = str(record.get("name", default))
    origin = str(record.get("plugin", "")) or known.owner(kind, name)
    try:
        return known.choose(kind, name, record.get("options", {}), origin=origin)
    except UsageError as error:
        files = [file for file in map(local_plugins.file_of, manifest.versions) if file and file.stem == origin] if manifest else []
        if files and not _loaded(files[0]):
            raise _missing(f"the {kind} '{name}'", files[0]) from error
        raise


def check_resume(asked: Any) -> None:
    """Refuse to go on with a run whose parts came from a local file that is not named now.

    Args:
        asked: the option `resume`: a run folder or a checkpoint, or a mapping with its `name`.

    Raises:
        UsageError: names the file, and says what to add.
    """
    run = interrupted_run(asked)
    for choice in (*run.parts.values(), *run.datasets, *run.validation) if run else ():
        file = local_plugins.file_of(choice.distribution)
        if file and not _loaded(file):
            raise _missing(f"the {choice.kind} '{choice.name}'", file)


def notes(run: Run) -> Iterator[str]:
    """A sentence for each local file that is another now than when what the run goes on from was made."""
    sources = [source for source in (run.model, *run.adapters.values()) if source]
    records = [manifest.versions for source in sources if (manifest := read_manifest(Path(source.path)))]
    interrupted = interrupted_run(run.options.get("resume"))
    now = {path.stem: local_plugins.version(path) for path in local_plugins.local_plugins()}
    for name, version in {**{name: text for record in records for name, text in record.items()}, **(interrupted or run).versions}.items():
        file = local_plugins.file_of(name)
        if file and now.get(file.stem, version) != version:
            yield f"{file.name} has changed since: it was {version} ({file}), and is {now[file.stem]} now"


def interrupted_run(asked: Any) -> Run | None:
    """The run that wrote the checkpoint, or the run folder, that is named; None where none is, or it can't be read."""
    name = asked.get("name") if isinstance(asked, Mapping) else asked
    return read_run(Path(name)) if isinstance(name, str) and name and (Path(name) / "run.json").is_file() else None


def _loaded(file: Path) -> bool:
    return any(path.stem == file.stem for path in local_plugins.local_plugins())


def _missing(what: str, file: Path) -> UsageError:
    if file.is_file():
        return UsageError(
            f"{what} came from the local file {file}", where="--plugin", hint=f"Name it again: swift --plugin {shlex.quote(str(file))} …"
        )
    hint = "Put it back, or name it where it is now: swift --plugin FILE.py …"
    return UsageError(f"{what} came from the local file {file}, which is gone", where="--plugin", hint=hint)
