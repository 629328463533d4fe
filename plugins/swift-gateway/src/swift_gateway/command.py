"""Serve several servers behind one OpenAI-compatible address."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("gateway")
@click.argument("servers", nargs=-1)
@click.option(
    "--config", "file", type=click.Path(path_type=Path), help="YAML file with servers, keys and limits; read again when it changes."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; one other than localhost requires a key.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port to listen on; 0: any free port.")
@click.option(
    "--api-key-env", default="SWIFT_API_KEY", show_default=True, help="Environment variable with the gateway's own key, which has no quota."
)
@click.option("--server-key-env", default="", help="Environment variable with the key of the servers on the command line.")
@click.option("--max-running", type=click.IntRange(1), help="Maximum requests that run on one server.  [default: 64]")
@click.option(
    "--max-queue", type=click.IntRange(0, min_open=True), help="Maximum requests that wait; further ones get 429.  [default: 256]"
)
@click.option("--queue-timeout", type=float, help="Maximum seconds that a request waits.  [default: 60]")
@click.option("--attempts", type=click.IntRange(1), help="Maximum servers that a request is sent to.  [default: 3]")
@click.option("--probe-interval", type=float, help="Seconds between two probes of a server.  [default: 5]")
@click.option("--cors-origin", multiple=True, help="Origin of web pages that may read answers, or *; repeatable.")
def command(  # noqa: PLR0917 (one parameter per option)
    servers: tuple[str, ...],
    file: Path | None,
    host: str,
    port: int,
    api_key_env: str,
    server_key_env: str,
    max_running: int | None,
    max_queue: int | None,
    queue_timeout: float | None,
    attempts: int | None,
    probe_interval: float | None,
    cors_origin: tuple[str, ...],
) -> None:
    """Serve SERVERS (URLs that end in /v1) behind one OpenAI-compatible address.

    A request goes to a server that has its model: the one with the fewest outstanding tokens, less those of a prompt prefix that it has
    seen. Until its first token was sent, it is repeated on another server. The gateway stops when its requests have ended, or after 30 s.
    """
    from swift_gateway.config import Source
    from swift_gateway.serving import serve

    limits = {
        "max_running": max_running, "max_queue": max_queue, "queue_timeout": queue_timeout, "attempts": attempts,
        "probe_interval": probe_interval,
    }  # fmt: skip
    given: dict[str, object] = {name: value for name, value in limits.items() if value is not None}
    if servers:
        given["servers"] = [{"url": url, "api_key_env": server_key_env} for url in servers]
    serve(Source(given, file), host=host, port=port, api_key_env=api_key_env, origins=cors_origin, say=click.echo)
