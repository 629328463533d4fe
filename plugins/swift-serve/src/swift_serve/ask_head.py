"""Ask a model with a head: vectors of texts, classes of texts or conversations, scores of documents for a query.

Rows with labels give figures as well: the accuracy of classes, the errors of numbers, and how well documents are ranked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from swift_data.rows import ChatRow, LabelRow, PromptRow, RetrievalRow, TaggedRow, TextRow, normalise
from swift_data.rows.conversations import with_default_system
from swift_data.rows.forms import LABELS

from swift_core.contract import RawRow, Run, Stopped, UsageError
from swift_core.runs import Report
from swift_serve.answers import write_answers
from swift_serve.client import Client, Refused
from swift_serve.head_figures import figures_of
from swift_serve.head_tasks import AnswerKind
from swift_serve.held_out import asked_rows
from swift_serve.temporary_server import server_of


@dataclass(frozen=True, slots=True)
class HeadQuestion:
    """A text, a conversation, or a query with documents; `record` is what is written of it."""

    record: Mapping[str, Any]
    body: Mapping[str, Any]


def ask_head(run: Run, report: Report, kind: AnswerKind) -> tuple[Path, dict[str, Any]]:
    """Write a JSON line for each text, conversation or query, with its numbers; raises as `swift_serve.ask.ask` does."""
    options = run.options
    if kind == "reranking" and options["questions"]:
        hint = "Give rows of queries with documents: --dataset FILE."
        raise UsageError(
            "a reranker scores documents for a query, but questions have no documents", code="SERVE-091", where="questions", hint=hint
        )
    questions = [HeadQuestion({"text": text}, {"input": text}) for text in options["questions"]]
    questions += _from_rows(asked_rows(run), kind, str(options["system"]))
    client = Client(server_of(run))

    def answer(question: HeadQuestion) -> Mapping[str, Any]:
        if report.stop_requested:
            raise Stopped("stopped", code="SERVE-063")
        return numbers(client, kind, question.body, options["extra"])

    output = write_answers(run, report, questions, answer)
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    return output, {"questions": len(questions), **figures_of(kind, lines)}


def numbers(client: Client, kind: AnswerKind, body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the model gives for a request, as fields of a line: `embedding`; `label` and `probs`; `tokens`; or `scores`."""
    request = {"model": client.model, **body, **extra}
    if kind == "embedding":
        return {"embedding": client.post("/embeddings", request)["data"][0]["embedding"]}
    if kind == "classification":
        (found,) = classify(client, request)["data"]
        return {"label": found["label"], "probs": found["probs"]}
    if kind == "token classification":
        (found,) = classify(client, request)["data"]
        return {name: found[name] for name in ("entities", "tokens") if name in found}
    return {"scores": [each["score"] for each in client.post("/score", request)["data"]]}


def classify(client: Client, request: Mapping[str, Any]) -> Any:
    """POST a request to /v1/classify, or to vLLM's /classify."""
    try:
        return client.post("/classify", request)
    except Refused as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
    return client.post("../classify", request)


def shown(line: Mapping[str, Any]) -> tuple[str, str]:
    """Return a line's question and answer for the terminal."""
    asked = str(line.get("text") or line.get("query") or line["messages"][-1]["content"])
    if "embedding" in line:
        vector = line["embedding"]
        return asked, f"[{', '.join(f'{value:.4f}' for value in vector[:4])}, …] ({len(vector)} numbers)"
    if "probs" in line:
        return asked, f"{line['label']} ({', '.join(f'{value:.4f}' for value in line['probs'])})"
    if "tokens" in line:
        named = line.get("entities", line["tokens"])
        return asked, ", ".join(f"{each['text']} ({each['label']})" for each in named) or "no entities"
    ranked = sorted(zip(line["scores"], line["documents"], strict=True), reverse=True)
    return asked, "\n".join(f"{score:.4f}  {document}" for score, document in ranked)


def _from_rows(rows: Iterable[RawRow], kind: AnswerKind, system: str) -> Iterator[HeadQuestion]:
    for raw in rows:
        if kind == "reranking":
            row = normalise(raw, ("retrieval",))
            assert isinstance(row, RetrievalRow)
            record = {"query": row.query, "documents": list(row.documents), "labels": list(row.labels)}
            yield HeadQuestion(record, {"text_1": row.query, "text_2": list(row.documents)})
            continue
        if kind == "token classification":
            yield _tagged(raw)
            continue
        labelled = any(raw.data.get(name) not in (None, "") for name in LABELS)
        found = normalise(raw, ("label",) if labelled else ("text", "prompt", "chat"))
        if isinstance(found, TextRow):
            yield HeadQuestion({"text": found.text}, {"input": found.text})
            continue
        assert isinstance(found, LabelRow | PromptRow | ChatRow)
        messages = [dict(message) for message in with_default_system(found.messages, system)]
        expected = {"expected": found.label} if isinstance(found, LabelRow) else {}
        if kind == "classification":
            yield HeadQuestion({"messages": messages, **expected}, {"messages": messages})
        else:
            text = _text_of(messages, f"{raw.file}, row {raw.number}")
            yield HeadQuestion({"text": text, **expected}, {"input": text})


def _tagged(raw: RawRow) -> HeadQuestion:
    row = normalise(raw, ("tagged", "text"))
    assert isinstance(row, TaggedRow | TextRow)
    expected: dict[str, Any] = {}
    if isinstance(row, TaggedRow):
        spans = [{"start": span.start, "end": span.stop, "label": span.label} for span in row.spans]
        expected = {"expected": spans, "words": row.words}
    return HeadQuestion({"text": row.text, **expected}, {"input": row.text})


def _text_of(messages: Sequence[Mapping[str, Any]], where: str) -> str:
    texts = [message["content"] for message in messages if message["role"] == "user"]
    if len(texts) != 1 or not isinstance(texts[0], str):
        raise UsageError("a text to embed is one user message", code="SERVE-092", where=where, hint='Write the row as {"text": "…"}.')
    return texts[0]
