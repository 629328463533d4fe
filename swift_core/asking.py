"""The job of `swift ask`: put questions to a server (or to a checkpoint, served for the while) and keep the answers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swift_core import client
from swift_core.errors import Stopped, UsageError
from swift_core.paths import check_free, write_text
from swift_core.reading import raw_rows
from swift_core.reporting import Report
from swift_core.rows import ChatRow, PromptRow, normalise
from swift_core.run import DataChoice, Run

Messages = list[dict[str, Any]]


def ask(run: Run, report: Report) -> tuple[Path | None, dict[str, Any]]:
    """Ask each question on its own, in order; the answers are JSON lines {question, answer, messages}."""
    options = run.options
    output = Path(options["output"]) if options.get("output") else report.folder / "answers.jsonl"
    check_free(output, overwrite=bool(options["overwrite"]))
    conversations = [*(_conversation(text, options["system"]) for text in options["questions"]), *_from_rows(run.datasets)]
    if not conversations:
        raise UsageError("no questions", where="questions", hint="Add --questions 'Who are you?' or --dataset FILE.")
    url = str(options["url"])
    if not url:
        raise UsageError("nobody to ask", where="url", hint="Name a checkpoint with --model, or a running server with --url.")
    key = os.environ.get(str(options["api_key_env"]))
    name = str(options["name"]) or client.models(url, key)[0]
    sampling = {key: options[key] for key in ("max_tokens", "temperature", "top_p", "seed") if options[key] is not None}
    answers = []
    for done, messages in enumerate(conversations):
        report.progress("ask", done, len(conversations), unit="questions")
        if report.stop_requested:
            raise Stopped("stopped", hint="No answers were kept.")
        answer = client.complete(url, messages, model=name, api_key=key, **sampling)
        answers.append({"question": messages[-1]["content"], "answer": answer, "messages": messages})
    report.progress("ask", len(conversations), len(conversations), unit="questions")
    write_text(output, "".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers))
    return output, {"questions": len(answers)}


def _conversation(text: str, system: str) -> Messages:
    return [*([{"role": "system", "content": system}] if system else []), {"role": "user", "content": text}]


def _from_rows(datasets: tuple[DataChoice, ...]) -> Iterator[Messages]:
    """Each row up to its last user turn."""
    for choice in datasets:
        for raw in raw_rows(choice):
            row = normalise(raw, ("chat", "prompt"))
            assert isinstance(row, ChatRow | PromptRow)
            messages = [dict(message) for message in row.messages]
            while messages and messages[-1]["role"] != "user":
                messages.pop()
            if messages:
                yield messages
