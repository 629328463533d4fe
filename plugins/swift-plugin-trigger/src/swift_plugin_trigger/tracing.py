"""Trace of a message: event, prompt, run, and the checkpoint with its own history, back to data and base."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from swift_provenance.lineage import history

from swift_core.contract import SwiftError, UsageError
from swift_core.system import digest, read_result, read_run
from swift_plugin_trigger.recording import MESSAGES
from swift_plugin_trigger.store import Message, Store


def traced(store: Store, name: str, runs: Path) -> dict[str, Any]:
    """Return where a message comes from.

    Args:
        store: the state of the trigger.
        name: the message, EVENT/VARIANT.
        runs: the folder in which runs are looked for.

    Raises:
        UsageError: there is no such message.
    """
    message = store.message(name)
    event = store.event(message.event) if message else None
    if message is None or event is None:
        raise UsageError("this message does not exist", code="TRIGGER-028", where=name, hint="swift trigger show lists them.")
    folder = Path(event.folder) if event.folder else None
    found: dict[str, Any] = {
        "message": {"id": message.id, "state": message.state, "tries": message.tries, "last": message.note, **message.record},
        "event": {"id": event.id, "sha256": event.hash, "source": event.source, "content": dict(event.body)},
        "run": str(folder or ""), "records": str(folder / MESSAGES) if folder else "", "problem": _problem(message, folder),
        "made_from": [],
    }  # fmt: skip
    if folder and (folder / "run.json").is_file() and (model := read_run(folder).model):
        found["made_from"] = list(_made_from(Path(model.path), model.hash, model.reference, runs))
    return found


def _problem(message: Message, folder: Path | None) -> str:
    """Return what does not hold: the text is another than was recorded, or the record is gone."""
    if not message.record:
        return "it has no text yet"
    if digest(message.record["text"]) != message.record["sha256"]:
        return "its text is not the one that was screened"
    if folder is None or not (folder / MESSAGES).is_file():
        return "its run folder is gone" if folder else "it is not recorded yet"
    recorded = [json.loads(line) for line in (folder / MESSAGES).read_text(encoding="utf-8").splitlines()]
    same = next((each["text"] == message.record["text"] for each in recorded if each["id"] == message.id), False)
    ended = bool(read_result(folder))
    return "" if same and ended else "its run folder has another text"


def _made_from(path: Path, digest_of_run: str, reference: str, runs: Path) -> Iterator[dict[str, Any]]:
    try:
        for made in history(path, runs):
            yield {
                "checkpoint": made.reference or reference or str(made.path), "sha256": made.hash or digest_of_run,
                "made_by": made.run.verb if made.run else "", "run": str(made.folder or ""),
                "data": [{"asked": each.asked, "sha256": each.hash} for each in made.data],
            }  # fmt: skip
    except (SwiftError, ValueError, TypeError, KeyError, OSError) as error:
        yield {"checkpoint": str(path), "sha256": digest_of_run, "made_by": "", "run": "", "data": [], "problem": str(error)}


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield a trace as lines for a terminal."""
    message, event = found["message"], found["event"]
    yield f"{message['id']}  {message['state']}, {message['tries']} attempts: {message['last']}"
    if found["problem"]:
        yield f"    problem: {found['problem']}"
    if "text" in message:
        yield f"    text by {message['by']}, {message['written']}, sha256:{message['sha256'][:16]}: {' '.join(message['text'].split())}"
        for rejected in message["rejected"]:
            yield f"    rejected: {'; '.join(rejected['reasons'])}"
        yield f"    prompt: {' '.join((message.get('prompt') or [{'content': '(a recipe)'}])[-1]['content'].split())[:300]}"
        yield f"    model {message['model']} at {message['server'] or '(a recipe)'}, definition sha256:{message['definition'][:16]}"
    content = json.dumps(event["content"], ensure_ascii=False)[:300]
    yield f"    event {event['id']} by {event['source']}, sha256:{event['sha256'][:16]}: {content}"
    if found["run"]:
        yield f"    recorded in {found['records']}   (swift audit trace finds it in the log)"
    for depth, made in enumerate(found["made_from"], 1):
        indent = "    " * (depth + 1)
        yield f"{indent}{made['checkpoint']}  sha256:{made['sha256'][:16]}"
        yield (
            f"{indent}    made by {made['made_by']}, {made['run']}" if made["made_by"] else f"{indent}    no run of this folder produced it"
        )
        yield from (f"{indent}    data: {data['asked']}  sha256:{data['sha256'][:16]}" for data in made["data"])
