"""Runs that the page has started: commands of their own, which go on without it.

Each has a YAML file, a log and a record in the page's folder; the rest is in its run folder. No shell is involved.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from swift_core.contract import SwiftError
from swift_core.system import write_json, write_text

if TYPE_CHECKING:
    from swift_plugin_web.site import Site

_FOLDER = re.compile(r"run folder (.+)")
_TAIL = 4000  # bytes of a log that are read
_SECONDS = 300.0  # for a command that only answers


@dataclass(frozen=True, slots=True)
class Job:
    """A command that the page has started."""

    name: str
    verb: str
    words: tuple[str, ...]  # after `swift`
    pid: int

    def log(self, site: Site) -> Path:
        """Return its log."""
        return site.work / f"{self.name}.log"

    def folder(self, site: Site) -> Path | None:
        """Return its run folder, once its log names it."""
        found = _FOLDER.search(tail(self.log(site), start=True))
        return Path(found[1].strip()) if found else None

    @property
    def alive(self) -> bool:
        """True if the command goes on."""
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        with suppress(OSError):
            return Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0] != "Z"
        return True


def start(site: Site, verb: str, values: Mapping[str, Any] | None, words: Sequence[str] = ()) -> Job:
    """Start `swift VERB`, with a YAML file of these values, or with words alone."""
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{verb}-{secrets.token_hex(2)}"
    site.work.mkdir(parents=True, exist_ok=True)
    all_words = [verb, *words]
    if values is not None:
        file = site.work / f"{name}.yaml"
        write_text(file, yaml_of(verb, values))
        all_words = [verb, str(file), "--runs", str(site.runs), *words]
    with (site.work / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "swift_core.cli", *all_words], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            cwd=site.folders[0], start_new_session=True,
        )  # fmt: skip
    threading.Thread(target=process.wait, daemon=True).start()
    job = Job(name, verb, tuple(all_words), process.pid)
    write_json(site.work / f"{name}.json", asdict(job))
    return job


def ask(site: Site, *words: str) -> Any:
    """Return what a command prints as JSON; it is a process of its own, since it may import torch.

    Raises:
        SwiftError: the command's own error, or what it printed last.
    """
    done = subprocess.run(
        [sys.executable, "-P", "-m", "swift_core.cli", *words], cwd=site.folders[0], capture_output=True, text=True, timeout=_SECONDS,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        raise SwiftError("the command gave no answer", code="WEB-017", hint=done.stderr.strip()[-500:]) from None
    if isinstance(answer, dict) and "exit_code" in answer:
        raise SwiftError(answer["message"], code=answer.get("code", ""), where=answer.get("where", ""), hint=answer.get("hint", ""))
    return answer


def jobs(site: Site) -> list[Job]:
    """Return what the page has started, newest first; also before it was restarted."""
    found = []
    for path in sorted(site.work.glob("*.json"), reverse=True):
        with suppress(ValueError, TypeError, KeyError):
            data = json.loads(path.read_text(encoding="utf-8"))
            found.append(Job(data["name"], data["verb"], tuple(data["words"]), int(data["pid"])))
    return found


def yaml_of(verb: str, values: Mapping[str, Any]) -> str:
    """Return the YAML file of a run."""
    text: str = yaml.safe_dump({"run": verb, **values}, sort_keys=False, allow_unicode=True)
    return text


def tail(path: Path, *, start: bool = False) -> str:
    """Return the end of a file, or its start."""
    try:
        with path.open("rb") as file:
            if not start:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - _TAIL))
            return file.read(_TAIL).decode("utf-8", errors="replace")
    except OSError:
        return ""
