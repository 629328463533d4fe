"""Write to the log when a run starts and ends, and handle a log that can't be written."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from swift_core.contract import Problem, ResultRecord, Run, SwiftError
from swift_core.system import disk_errors, write_json
from swift_plugin_audit import facts, files
from swift_plugin_audit.log import Draft, Log
from swift_plugin_audit.open_runs import OpenRuns
from swift_plugin_audit.places import Places, mode, places

RECORD = "audit.json"  # in a run folder: the signed head after the run's last entry

_log = logging.getLogger("swift_plugin_audit")


def problems() -> Iterator[Problem]:
    """Yield a problem if the log or its heads can't be written; nothing is created."""
    if mode() == "off":
        return
    required = mode() == "required"
    for path in (places().log, places().heads):
        try:
            _check_writable(path)
        except SwiftError as error:
            what = "the run can't be recorded in the audit log" if required else "this run will not be in the audit log"
            yield Problem(
                code="AUDIT-007",
                where="audit",
                message=f"{what}: {error.where}: {error.message}",
                hint=error.hint,
                fatal=required,
            )


def started(run: Run, folder: Path) -> None:
    """Record the start, and first the runs that ended without a record since, because they were killed.

    Raises:
        SwiftError: the log can't be written, and SWIFT_AUDIT is `required`.
    """
    if mode() == "off":
        return
    here = places()
    running = OpenRuns(here)
    drafts = [
        Draft(facts.event_of(result) if result else "run-killed", name, facts.of_ended(place, result))
        for name, place, result in running.ended()
    ]
    drafts.append(Draft("run-started", folder.absolute().name, facts.of_start(run, folder)))
    if _append(here, drafts, folder):
        running.forget_ended()
        running.begin(folder)


def finished(run: Run, folder: Path, result: ResultRecord) -> None:
    """Record how a run ended, and what it made.

    Raises:
        SwiftError: as `started`.
    """
    if mode() == "off":
        return
    here = places()
    draft = Draft(facts.event_of(result), folder.absolute().name, facts.of_end(folder, result))
    if _append(here, [draft], folder):
        OpenRuns(here).end(folder)


def _append(here: Places, drafts: list[Draft], folder: Path) -> bool:
    try:
        head = Log(here).append(drafts)
    except SwiftError as error:
        if mode() == "required":
            raise
        _log.warning("the audit log was not written: %s", error)
        return False
    write_json(folder / RECORD, {"schema": 1, **asdict(head)})
    return True


def _check_writable(path: Path) -> None:
    """Check that a file can be appended to, or made.

    Raises:
        SwiftError: it can't.
    """
    with disk_errors(path):
        files.check_place(path)
        place = next(each for each in (path, *path.parents) if each.exists())
        if place != path and not place.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(place))
        if not os.access(place, os.W_OK) or os.statvfs(place).f_flag & os.ST_RDONLY:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))
