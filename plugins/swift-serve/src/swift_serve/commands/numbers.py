"""Show the numbers that a model with a head gives for the lines that are typed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from swift_core.cli import print_error
from swift_core.contract import SwiftError

if TYPE_CHECKING:
    from swift_serve.client import Client
    from swift_serve.head_tasks import AnswerKind


def show_numbers(client: Client, kind: AnswerKind, extra: Mapping[str, Any]) -> None:
    """Read texts, or queries each followed by its documents and an empty line, and show what the model gives for them."""
    from swift_serve.ask_head import numbers, shown

    if sys.stdin.isatty():
        what = "a query, then its documents, then an empty line" if kind == "reranking" else "a text"
        click.secho(f"{client.model}  ·  type {what}; /exit ends", dim=True)
    for record, body in _pairs() if kind == "reranking" else (({"text": text}, {"input": text}) for text in _lines("> ")):
        try:
            click.echo(shown({**record, **numbers(client, kind, body, extra)})[1] + "\n")
        except SwiftError as error:
            print_error(error)
    click.echo()


def _pairs() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for query in _lines("query> "):
        if documents := list(_lines("document> ", until_empty=True)):
            yield {"query": query, "documents": documents}, {"text_1": query, "text_2": documents}


def _lines(prompt: str, *, until_empty: bool = False) -> Iterator[str]:
    while True:
        try:
            text = input(prompt if sys.stdin.isatty() else "").strip()
        except EOFError:
            return
        if text in ("/exit", "/quit") or (until_empty and not text):
            return
        if text:
            yield text
