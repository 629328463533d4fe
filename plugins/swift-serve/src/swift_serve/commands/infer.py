"""Chat with a model in the terminal, or answer a file of questions (`--dataset`)."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swift_core.cli import Screen, VerbCommand, print_error
from swift_core.contract import Run, RunResult, SwiftError, UsageError
from swift_core.system import forget
from swift_serve.commands.ask import ask

if TYPE_CHECKING:
    from swift_serve.client import Client

HELP = """Chat with a checkpoint or a running server (--url); with --dataset or --questions, answer those and write the answers to a file.

In a chat, /clear starts a new conversation, /system TEXT sets the system prompt, /image FILE attaches an image to the next message, /exit
(or Ctrl-D) ends it; Ctrl-C interrupts an answer, and at the prompt ends the command.

A classifier, reward model, embedding model or reranker answers each line with its classes, vector or scores."""


def infer(run: Run, screen: Screen) -> RunResult | None:
    """Answer the questions if there are any, else chat in the terminal."""
    if run.options["questions"] or run.datasets:
        return ask(run, screen)
    from swift_serve.client import Client
    from swift_serve.commands.numbers import show_numbers
    from swift_serve.head_tasks import answer_kind_of_run
    from swift_serve.temporary_server import server_for

    if not run.options["url"]:
        if run.model is None:
            hint = "Name a checkpoint: swift infer CHECKPOINT, or a server: --url http://127.0.0.1:8000/v1."
            raise UsageError("no model and no --url given", code="SERVE-073", where="model", hint=hint)
        screen.note("loading the model")
    with server_for(run, Path(run.options["runs"]), watch=screen.watch) as server:
        screen.close()
        kind = answer_kind_of_run(run)
        _converse(Client(server), run.options) if kind == "text" else show_numbers(Client(server), kind, run.options["extra"])
    return None


def _converse(client: Client, options: Mapping[str, Any]) -> None:
    from swift_serve.ask import completed, request_fields
    from swift_serve.messages import api_message, image_part

    name = client.model
    sampling = request_fields(options)
    system = str(options["system"])
    history: list[dict[str, Any]] = []
    images = [image_part(source) for source in options["images"]]
    terminal = sys.stdin.isatty()
    if terminal:
        import readline  # noqa: F401  (line editing and history for input())

        click.secho(f"{name}  ·  /exit ends, /clear starts a new conversation, Ctrl-C interrupts an answer", dim=True)
    while True:
        try:
            text = input("> " if terminal else "").strip()
        except EOFError:
            click.echo()
            return
        if text in ("/exit", "/quit"):
            return
        if text == "/clear":
            history.clear()
        elif text.startswith("/system"):
            system = text.removeprefix("/system").strip()
            history.clear()
        elif text.startswith("/image"):
            images += _images(text.removeprefix("/image").strip())
        elif text and not options["use_chat_template"]:
            click.echo(completed(client, [{"role": "user", "content": text}], options) + "\n")
        elif text:
            history.append({"role": "user", "content": [*images, {"type": "text", "text": text}] if images else text})
            prompt = [api_message(message) for message in [*([{"role": "system", "content": system}] if system else []), *history]]
            history.append({"role": "assistant", "content": _answer(client.chat(prompt, **sampling))})
            if history[-1]["content"]:
                images = []
            else:
                del history[-2:]


def _images(source: str) -> list[dict[str, Any]]:
    from swift_serve.messages import image_part

    try:
        return [image_part(source)]
    except UsageError as error:
        print_error(error)
        return []


def _answer(pieces: Iterable[str]) -> str:
    received = []
    try:
        for piece in pieces:
            received.append(piece)
            click.echo(piece, nl=False)
    except KeyboardInterrupt:
        forget()
        click.secho(" [interrupted]", dim=True, nl=False)
    except SwiftError as error:
        print_error(error)
    click.echo("\n")
    return "".join(received)


class InferCommand(VerbCommand):
    """`swift infer`."""

    help_text = HELP

    def carry_out(self, run: Run, screen: Screen) -> RunResult | None:
        """Chat, or answer the questions that are given."""
        return infer(run, screen)
