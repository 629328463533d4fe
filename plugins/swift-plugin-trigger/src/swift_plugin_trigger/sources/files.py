"""Events as files in a folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

from swift_core.contract import UsageError
from swift_core.system import disk_errors, make_folder
from swift_plugin_trigger.dead_letters import bury
from swift_plugin_trigger.definition import FileSource
from swift_plugin_trigger.intake import Intake, InvalidEvent

DONE, REJECTED = "done", "rejected"


def take_files(source: FileSource, intake: Intake) -> int:
    """Take the events of every *.json file in the folder, and move the files; return how many were there.

    A file is moved after its event is kept: if the process ends in between, the event is known the next time. Writers should write to
    another name and rename, so that no half-written file is read.
    """
    with disk_errors(source.folder):
        for name in ("", DONE, REJECTED):
            make_folder(source.folder / name)
        files = sorted(path for path in source.folder.glob("*.json") if path.is_file() and not path.name.startswith("."))
    for path in files:
        try:
            take_file(path, intake, "files")
        except InvalidEvent as error:
            bury(intake.store.folder, "refused", path.name, str(error), hint=error.hint)
            _move(path, source.folder / REJECTED)
        else:
            _move(path, source.folder / DONE)
    return len(files)


def take_file(path: Path, intake: Intake, source: str) -> str:
    """Take the event in a file, and return its id.

    Raises:
        InvalidEvent: it is not one, or another event has its id.
        UsageError: there is no such file.
    """
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"the file can't be read: {error.strerror}", code="TRIGGER-024", where=str(path), hint="Name a JSON file with one event."
        ) from None
    except ValueError as error:
        raise InvalidEvent(f"not JSON: {error}", code="TRIGGER-025", where=str(path), hint="A file holds one JSON object.") from None
    try:
        name = intake.name_of(body)
    except InvalidEvent as error:
        raise InvalidEvent(error.message, code=error.code, where=f"{path}: {error.where}", hint=error.hint) from None
    if intake.take(body, name, source) == "different":
        raise InvalidEvent(
            f"another event has the id '{name}'",
            code="TRIGGER-026",
            where=str(path),
            hint="An event can't be changed: send it with a new id.",
        )
    return name


def _move(path: Path, folder: Path) -> None:
    with disk_errors(folder):
        target, number = folder / path.name, 1
        while target.exists():
            number += 1
            target = folder / f"{path.stem}-{number}{path.suffix}"
        os.replace(path, target)
