"""Show a web page for this machine: data, runs, chat and servers."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import click

from swift_core.contract import UsageError
from swift_plugin_web.site import LOOPBACK, Site

PASSWORD = "SWIFT_WEB_PASSWORD"


@click.command("web", short_help="Show a page for this machine: data, training, runs, chat, models")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; elsewhere than loopback a password is needed.")
@click.option("--port", default=7860, show_default=True, help="Port; 0 takes a free one.")
@click.option(
    "--folder", "folders", multiple=True, type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="FOLDER",
    help="What the page may read and write; repeatable. Default: the current folder.",
)  # fmt: skip
@click.option("--runs", type=click.Path(path_type=Path), help="Parent of the run folders; default: runs in the first folder.")
@click.option("--name", "names", multiple=True, help="A further host name under which the page is asked for; repeatable.")
@click.option("--read-only", is_flag=True, help="Show everything, change nothing.")
@click.option("--most-upload", default=50, show_default=True, help="Megabytes of an uploaded file.")
def command(  # noqa: PLR0917  # click passes them by name
    host: str, port: int, folders: tuple[Path, ...], runs: Path | None, names: tuple[str, ...], read_only: bool, most_upload: int
) -> None:
    """Show a page for this machine, at an address that has a random token.

    Closing the page or the browser stops no run: a run is a command of its own, and its folder is its state. Elsewhere than on
    loopback, the environment variable SWIFT_WEB_PASSWORD must have a password, and the connection should be encrypted by a proxy in front.
    """
    import uvicorn

    password = os.environ.get(PASSWORD, "")
    if host not in LOOPBACK and len(password) < 12:
        hint = f"Set {PASSWORD} to one of at least 12 characters, or use ssh -L {port}:127.0.0.1:{port}."
        raise UsageError(f"on {host} other machines reach this page, so it needs a password", code="WEB-020", where="--host", hint=hint)
    places = tuple(folder.resolve() for folder in folders or (Path(),))
    os.chdir(places[0])  # where relative paths of forms begin, here and in the commands that are started
    listener = _listener(host, port)
    chosen = Site(
        folders=places, runs=(runs or Path("runs")).absolute(), host=host, port=listener.getsockname()[1], names=names,
        password=password if host not in LOOPBACK else "", read_only=read_only, most_upload=most_upload * 1_000_000,
    )  # fmt: skip
    from swift_plugin_web.app import application
    from swift_plugin_web.places import inside

    inside(chosen.runs, places)
    if chosen.password:
        click.secho("warning: other machines reach this page; without a proxy the password is sent in the clear", fg="yellow", err=True)
        click.echo(f"page: {chosen.url}")
    else:
        click.echo(f"page: {chosen.url}?token={chosen.token}")
    server = uvicorn.Server(uvicorn.Config(application(chosen), log_level="warning", access_log=False, server_header=False))
    server.run(sockets=[listener])


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise UsageError(
            f"can't listen on {host}:{port}: {error.strerror}", code="WEB-021", where="--port", hint="--port 0 takes a free one."
        ) from None
    listener.listen(128)
    return listener
