"""The job of `swift ask`: send questions to a server concurrently, and write the answers in the order of the questions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swift_data.rows import ChatRow, PromptRow, normalise
from swift_data.rows.conversations import with_default_system

from swift_core.contract import RawRow, Run, Stopped, UsageError
from swift_core.runs import Report
from swift_serve import held_out
from swift_serve.answers import write_answers
from swift_serve.ask_head import ask_head
from swift_serve.client import Client
from swift_serve.head_tasks import answer_kind_of_run
from swift_serve.messages import api_message, image_part
from swift_serve.temporary_server import server_of

_SAMPLING = ("max_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "seed", "stop")


@dataclass(frozen=True, slots=True)
class Question:
    """A conversation that ends with a user message, with tools, variables of the chat template, and the answer that its row has."""

    messages: list[dict[str, Any]]
    tools: tuple[Mapping[str, Any], ...] | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    expected: str | None = None

    @property
    def record(self) -> dict[str, Any]:
        """Its fields in the line of its answer."""
        known = {} if self.expected is None else {"expected": self.expected}
        return {"question": _shown(self), "messages": self.messages, **known}


def ask(run: Run, report: Report) -> tuple[Path | None, dict[str, Any]]:
    """Ask every question in a conversation of its own; write the answers as JSON lines {question, answer, messages}.

    A model with a head is asked for its vectors, classes or scores instead (`swift_serve.ask_head`).

    Raises:
        UsageError: there are no questions or no server, the output exists, or the partial answers belong to other questions.
        Stopped: a stop was requested; the answers so far are kept.
        SwiftError: the server failed; the answers so far are kept.
    """
    if (kind := answer_kind_of_run(run)) != "text":
        return ask_head(run, report, kind)
    options = run.options
    rows = _from_rows(held_out.asked_rows(run), options["system"], compared=bool(options["metric"]))
    questions = [*(_question(text, options) for text in options["questions"]), *rows]
    client = Client(server_of(run)) if questions else None
    sampling = request_fields(options)

    def answer(question: Question) -> dict[str, Any]:
        assert client
        if not options["use_chat_template"]:
            return {"answer": completed(client, question.messages, options)}
        tools: dict[str, Any] = {"tools": list(question.tools)} if question.tools else {}
        if question.variables:
            tools["chat_template_kwargs"] = {**sampling.get("chat_template_kwargs", {}), **question.variables}
        messages = [api_message(message) for message in question.messages]
        received = []
        for piece in client.chat(messages, **{**sampling, **tools}):
            if report.stop_requested:
                raise Stopped("stopped", code="SERVE-063")
            received.append(piece)
        return {"answer": "".join(received)}

    output = write_answers(run, report, questions, answer)
    return output, {"questions": len(questions), **(accuracy_of(output) if options["metric"] else {})}


def completed(client: Client, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> str:
    """Return how the model continues the text of the last message, without a chat template (`POST /completions`).

    Raises:
        UsageError: the message is not text.
    """
    prompt = messages[-1]["content"]
    if not isinstance(prompt, str):
        message = "without the chat template, a question is text"
        raise UsageError(message, code="SERVE-106", where="use_chat_template", hint="Omit --use-chat-template, or the images.")
    body = {"model": client.model, "prompt": prompt, **request_fields({**options, "template_variables": {}})}
    return str(client.post("/completions", body)["choices"][0]["text"])


def accuracy_of(output: Path) -> dict[str, float]:
    """Return the fraction of the answers in a file that are those of their rows; {} if no row has one."""
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    compared = [line["answer"].strip() == line["expected"].strip() for line in lines if "expected" in line]
    return {"accuracy": sum(compared) / len(compared)} if compared else {}


def request_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of every request: sampling, chat template variables, and those of `extra`."""
    fields = {name: options[name] for name in _SAMPLING if options[name] not in (None, [])}
    if options["template_variables"]:
        fields["chat_template_kwargs"] = dict(options["template_variables"])
    return fields | dict(options["extra"])


def _question(text: str, options: Mapping[str, Any]) -> Question:
    system = [{"role": "system", "content": options["system"]}] if options["system"] else []
    content: Any = [*map(image_part, options["images"]), {"type": "text", "text": text}] if options["images"] else text
    return Question([*system, {"role": "user", "content": content}])


def _from_rows(rows: Iterable[RawRow], system: str, *, compared: bool) -> Iterator[Question]:
    """Yield a question per row: its messages up to the last user or tool message, with a system prompt if it has none.

    With `compared`, its answer is the text of its last message, if that is the assistant's.
    """
    for raw in rows:
        row = normalise(raw, ("chat", "prompt"))
        assert isinstance(row, ChatRow | PromptRow)
        messages = [dict(message) for message in with_default_system(row.messages, system)]
        last = messages[-1] if messages else {}
        expected = last["content"] if compared and last.get("role") == "assistant" and isinstance(last["content"], str) else None
        while messages and messages[-1]["role"] not in ("user", "tool"):
            messages.pop()
        yield Question(messages, row.tools, row.variables, expected)


def _shown(question: Question) -> str:
    content = question.messages[-1]["content"]
    return content if isinstance(content, str) else " ".join(part.get("text") or f"<{part['type']}>" for part in content)
