"""Serve a checkpoint behind an OpenAI-compatible API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from swift_core.cli import Screen, VerbCommand
from swift_core.contract import Event, ReadyEvent, Run, RunResult, Stopped

if TYPE_CHECKING:
    from swift_serve.head_tasks import AnswerKind


def serve(run: Run, screen: Screen) -> RunResult:
    """Serve until Ctrl-C."""
    from swift_core.runs import STOPPING
    from swift_serve.head_tasks import answer_kind_of_run

    stopping = False

    def watch(event: Event) -> None:
        nonlocal stopping
        stopping = stopping or event == STOPPING
        screen.watch(event)
        if event["event"] == "ready":
            screen.close()
            _ready(event, answer_kind_of_run(run))

    result = screen.carry_out(run, watch=watch)
    if stopping:
        raise Stopped("stopped", code="SERVE-063")
    return result


def _ready(event: ReadyEvent, kind: AnswerKind) -> None:
    click.secho(f"ready: {event['url']}  (models: {', '.join(event['models'])})", bold=True)
    if event["metrics"]:
        click.echo(f"metrics: {event['metrics']}")
    key = "$SWIFT_API_KEY"
    if event["api_key"]:
        click.echo(f"API key, generated because {event['host']} is reachable from other machines: {event['api_key']}")
        key = event["api_key"]
    header = f" -H 'Authorization: Bearer {key}'" if event["api_key"] else ""
    path, fields = _TRY[kind]
    body = f'{{"model": "{event["models"][0]}", {fields}}}'
    click.echo(f"try: curl {event['url']}/{path}{header} -H 'Content-Type: application/json' -d '{body}'")
    click.echo("Press Ctrl-C to stop.")


_TRY: Mapping[str, tuple[str, str]] = {
    "text": ("chat/completions", '"messages": [{"role": "user", "content": "Hello"}]'),
    "embedding": ("embeddings", '"input": "Hello"'),
    "classification": ("classify", '"input": "Hello"'),
    "token classification": ("classify", '"input": "Ada lives in London."'),
    "reranking": ("rerank", '"query": "Hello?", "documents": ["Hello.", "Bye."]'),
}


class ServeCommand(VerbCommand):
    """`swift serve`."""

    def carry_out(self, run: Run, screen: Screen) -> RunResult:
        """Serve until Ctrl-C."""
        return serve(run, screen)
