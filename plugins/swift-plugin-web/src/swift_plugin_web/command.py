"""Serve a web page for this machine: data, runs, chat and servers."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import click

from swift_core.contract import UsageError
from swift_plugin_web.site import LOOPBACK, Site

PASSWORD = "SWIFT_WEB_PASSWORD"


@click.command("web", short_help="Serve a web page: data, training, runs, chat, models")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; a password is required unless it is loopback.")
@click.option("--port", default=7860, show_default=True, help="Port; 0: any free port.")
@click.option(
    "--folder", "folders", multiple=True, type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="FOLDER",
    help="Folder that the page may read and write; repeatable. Default: the current folder.",
)  # fmt: skip
@click.option("--runs", type=click.Path(path_type=Path), help="Parent of the run folders; default: runs in the first folder.")
@click.option("--name", "names", multiple=True, metavar="HOST[:PORT]", help="Further name of the page, as of a proxy; repeatable.")
@click.option("--read-only", is_flag=True, help="Refuse every change.")
@click.option("--max-upload", default=50, show_default=True, help="Maximum size of an uploaded file in MB.")
def command(  # noqa: PLR0917  # click passes them by name
    host: str, port: int, folders: tuple[Path, ...], runs: Path | None, names: tuple[str, ...], read_only: bool, max_upload: int
) -> None:
    """Serve a web page for this machine, at an address with a random token.

    Closing the page or the browser stops no run: each run is a process of its own, and its folder is its state. Unless the address is
    loopback, the environment variable SWIFT_WEB_PASSWORD must hold a password, and a proxy should encrypt the connection.
    """
    import uvicorn

    password = os.environ.get(PASSWORD, "")
    if host not in LOOPBACK and len(password) < 12:
        hint = f"Set {PASSWORD} to at least 12 characters, or use ssh -L {port}:127.0.0.1:{port}."
        raise UsageError(f"other machines can reach {host}, so the page needs a password", code="WEB-020", where="--host", hint=hint)
    places = tuple(folder.resolve() for folder in folders or (Path(),))
    os.chdir(places[0])  # where relative paths of forms begin, here and in the commands that are started
    listener = _listener(host, port)
    chosen = Site(
        folders=places, runs=(runs or Path("runs")).absolute(), host=host, port=listener.getsockname()[1], names=names,
        password=password if host not in LOOPBACK else "", read_only=read_only, max_upload=max_upload * 1_000_000,
    )  # fmt: skip
    from swift_plugin_web.app import application
    from swift_plugin_web.places import inside

    inside(chosen.runs, places)
    if chosen.password:
        click.secho("warning: other machines can reach this page; without TLS the password is sent unencrypted", fg="yellow", err=True)
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
            f"can't listen on {host}:{port}: {error.strerror}", code="WEB-021", where="--port", hint="--port 0 uses any free port."
        ) from None
    listener.listen(128)
    return listener
