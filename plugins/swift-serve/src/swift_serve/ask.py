"""The job of `swift ask`: send questions to a server concurrently, and write the answers in the order of the questions.

Answers are appended to `OUTPUT.partial` in order, and the file is renamed when complete; an interrupted run keeps its answers, and
`--resume` continues after them.
"""

from __future__ import annotations

import json
import shlex
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from swift_data.reading import raw_rows
from swift_data.rows import ChatRow, PromptRow, normalise
from swift_data.rows.conversations import with_default_system

from swift_core.contract import DataChoice, Run, Stopped, SwiftError, UsageError
from swift_core.runs import Report
from swift_core.system import check_free
from swift_serve.client import Client
from swift_serve.messages import api_message, image_part
from swift_serve.temporary_server import server_of

_SAMPLING = ("max_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "seed", "stop")


@dataclass(frozen=True, slots=True)
class Question:
    """A conversation that ends with a user message, the tools that the model may call, and chat template variables."""

    messages: list[dict[str, Any]]
    tools: tuple[Mapping[str, Any], ...] | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)


def ask(run: Run, report: Report) -> tuple[Path | None, dict[str, Any]]:
    """Ask every question in a conversation of its own; write the answers as JSON lines {question, answer, messages}.

    Raises:
        UsageError: there are no questions or no server, the output exists, or the partial answers belong to other questions.
        Stopped: a stop was requested; the answers so far are kept.
        SwiftError: the server failed; the answers so far are kept.
    """
    options = run.options
    output = Path(options["output"]) if options.get("output") else report.folder / "answers.jsonl"
    check_free(output, overwrite=bool(options["overwrite"]))
    questions = [*(_question(text, options) for text in options["questions"]), *_from_rows(run.datasets, options["system"])]
    if not questions:
        raise UsageError("no questions", code="SERVE-062", where="questions", hint="Add --questions 'Who are you?' or --dataset FILE.")
    client = Client(server_of(run))
    sampling = request_fields(options)

    def answer(question: Question) -> str:
        tools: dict[str, Any] = {"tools": list(question.tools)} if question.tools else {}
        if question.variables:
            tools["chat_template_kwargs"] = {**sampling.get("chat_template_kwargs", {}), **question.variables}
        messages = [api_message(message) for message in question.messages]
        received = []
        for piece in client.chat(messages, **{**sampling, **tools}):
            if report.stop_requested:
                raise Stopped("stopped", code="SERVE-063")
            received.append(piece)
        return "".join(received)

    partial = output.with_name(output.name + ".partial")
    output.parent.mkdir(parents=True, exist_ok=True)
    done = _answered(partial, questions) if options["resume"] else 0
    report.progress("ask", done, len(questions), unit="questions")
    if report.stop_requested:
        raise Stopped("stopped", code="SERVE-063")
    with partial.open("a" if done else "w", encoding="utf-8") as out:
        try:
            for question, text in _in_order(answer, questions[done:], int(options["concurrency"])):
                line = {"question": _shown(question), "answer": text, "messages": question.messages}
                out.write(json.dumps(line, ensure_ascii=False) + "\n")
                out.flush()
                done += 1
                report.progress("ask", done, len(questions), unit="questions")
        except SwiftError as error:
            again = f"--output {shlex.quote(str(output))} --resume"
            hint = f"{done} of {len(questions)} answers are kept in {partial}; to continue, run the same command with {again}."
            hint = f"{error.hint} {hint}".strip() if done else error.hint
            raise type(error)(error.message, code=error.code, where=error.where, hint=hint) from error
    partial.replace(output)
    return output, {"questions": len(questions)}


def request_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of every request: sampling, chat template variables, and those of `extra`."""
    fields = {name: options[name] for name in _SAMPLING if options[name] not in (None, [])}
    if options["template_variables"]:
        fields["chat_template_kwargs"] = dict(options["template_variables"])
    return fields | dict(options["extra"])


def _in_order(answer: Any, questions: Iterable[Question], most: int) -> Iterator[tuple[Question, str]]:
    """Yield each question with its answer, in order, with at most `most` concurrent requests."""
    with ThreadPoolExecutor(most, "ask") as workers:
        waiting: deque[tuple[Question, Future[str]]] = deque()
        rest = iter(questions)
        try:
            while True:
                waiting.extend((question, workers.submit(answer, question)) for question in islice(rest, most - len(waiting)))
                if not waiting:
                    return
                question, asked = waiting.popleft()
                yield question, asked.result()
        finally:
            workers.shutdown(wait=False, cancel_futures=True)


def _answered(partial: Path, questions: list[Question]) -> int:
    """Return the number of questions that an interrupted run has answered; an incomplete last line is removed."""
    if not partial.is_file():
        return 0
    whole = [line for line in partial.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    partial.write_text("".join(whole), encoding="utf-8")
    asked = [json.loads(line)["messages"] for line in whole]
    if asked != [json.loads(json.dumps(question.messages)) for question in questions[: len(asked)]]:
        raise UsageError(
            "the partial answers belong to a different set of questions",
            code="SERVE-064",
            where=str(partial),
            hint="Give the same questions in the same order, or omit --resume to start again.",
        )
    return len(asked)


def _question(text: str, options: Mapping[str, Any]) -> Question:
    system = [{"role": "system", "content": options["system"]}] if options["system"] else []
    content: Any = [*map(image_part, options["images"]), {"type": "text", "text": text}] if options["images"] else text
    return Question([*system, {"role": "user", "content": content}])


def _from_rows(datasets: tuple[DataChoice, ...], system: str) -> Iterator[Question]:
    """Yield a question per row: its messages up to the last user or tool message, with a system prompt if it has none."""
    for choice in datasets:
        for raw in raw_rows(choice):
            row = normalise(raw, ("chat", "prompt"))
            assert isinstance(row, ChatRow | PromptRow)
            messages = [dict(message) for message in with_default_system(row.messages, system)]
            while messages and messages[-1]["role"] not in ("user", "tool"):
                messages.pop()
            yield Question(messages, row.tools, row.variables)


def _shown(question: Question) -> str:
    content = question.messages[-1]["content"]
    return content if isinstance(content, str) else " ".join(part.get("text") or f"<{part['type']}>" for part in content)
