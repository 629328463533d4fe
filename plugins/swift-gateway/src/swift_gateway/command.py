"""Serve several servers behind one OpenAI-compatible address."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("gateway")
@click.argument("servers", nargs=-1)
@click.option(
    "--config", "file", type=click.Path(path_type=Path), help="YAML file with servers, keys and limits; reloaded when it changes."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; one other than localhost requires a key.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port to listen on; 0: any free port.")
@click.option(
    "--api-key-env",
    default="SWIFT_API_KEY",
    show_default=True,
    help="Environment variable with the gateway's own API key, which has no quota.",
)
@click.option("--server-key-env", default="", help="Environment variable with the API key of the servers on the command line.")
@click.option("--max-running", type=click.IntRange(1), help="Maximum concurrent requests per server.  [default: 64]")
@click.option(
    "--max-queue", type=click.IntRange(0, min_open=True), help="Maximum queued requests; further ones get status 429.  [default: 256]"
)
@click.option("--queue-timeout", type=float, help="Maximum time in the queue, in seconds.  [default: 60]")
@click.option("--attempts", type=click.IntRange(1), help="Maximum number of servers to try per request.  [default: 3]")
@click.option("--probe-interval", type=float, help="Interval between health probes of a server, in seconds.  [default: 5]")
@click.option("--cors-origin", multiple=True, help="Origin of web pages that may read responses (CORS), or *; repeatable.")
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

    Of the servers that have the requested model, the one with the fewest outstanding tokens is chosen, minus the tokens of a prompt
    prefix that it has cached. A request that fails before its first token was sent is retried on another server. On shutdown, running
    requests have 30 s to finish.
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
