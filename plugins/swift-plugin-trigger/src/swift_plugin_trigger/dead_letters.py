"""The dead-letter file: a JSON line for each event that was refused, and each event and message that was given up."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from swift_core.system import disk_errors

FILE = "dead-letters.jsonl"
_lock = Lock()


def bury(store: Path, kind: str, name: str, reason: str, **more: Any) -> None:
    """Append an entry; it is on the disk when this returns.

    Args:
        store: the folder of the trigger.
        kind: 'refused' (an event that is not valid), 'event' (no answer) or 'message' (not delivered).
        name: id of the event or message, or the name of its file.
        reason: why.
        more: what is needed to handle it by hand: the event, or the text.
    """
    entry = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "kind": kind, "id": name, "reason": reason, **more}
    with _lock, disk_errors(store / FILE), (store / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
