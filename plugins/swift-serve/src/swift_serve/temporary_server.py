"""A server for as long as another verb needs one: the verb names a checkpoint, or the URL of a running server.

The job of such a verb gets the server from `server_of(run)`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from swift_core.contract import Run, RunResult, Server, UsageError, Watch
from swift_core.runs import Context, execute_run, running_server
from swift_serve.client import Client
from swift_serve.plugin import SERVE

_SHARED = ("runs", "hub", "offline", "model", "family", "adapter", "allow_other_base", "api_key_env", "parity")


def carry_out(run: Run, context: Context) -> RunResult:
    """Execute a run that needs a server: the one that `url` names, or one that is started for the run's checkpoint."""
    folder = context.make_folder(run)
    with server_for(run, context.runs, watch=context.watch, folder=folder / "server") as server:
        return execute_run(replace(run, server=server), replace(context, folder=folder))


@contextmanager
def server_for(run: Run, runs: Path, *, watch: Watch | None = None, folder: Path | None = None) -> Iterator[Server]:
    """Yield the server that a run names by `url`, or serve its checkpoint until the block ends.

    The first of the server's models is the one to ask; there is none yet if a run with `url` has no `name`.

    Args:
        run: a run with the options `url`, `name` and `api_key_env`.
        runs: the folder in which the server's run folder is created, unless `folder` names it.
        watch: called with every event of the server's run.
        folder: the run folder of a server that is started.

    Raises:
        UsageError: the run names neither a URL nor a checkpoint.
        SwiftError: the engine did not start.
    """
    key = os.environ.get(str(run.options["api_key_env"]))
    if url := str(run.options["url"]):
        yield Server(url, tuple(filter(None, [str(run.options["name"])])), key)
        return
    with running_server(serve_run(run), runs, watch=watch, folder=folder) as server:
        yield replace(server, models=server.models[-1:], api_key=server.api_key or key)  # an adapter's name comes after the base's


def server_of(run: Run) -> Server:
    """Return the server of a run, for its job: with the API key, and the model to ask as its first model.

    Raises:
        UsageError: the run has no server.
        SwiftError: the server does not list its models.
    """
    if run.server is None:
        raise _no_server("url")
    server = replace(run.server, api_key=os.environ.get(str(run.options["api_key_env"])))
    return server if server.models else replace(server, models=tuple(Client(server).models()))


def serve_run(run: Run) -> Run:
    """Return the serve run for the checkpoint that a run names.

    Raises:
        UsageError: it names none.
    """
    from swift_serve.options import ServeOptions

    if run.model is None:
        raise _no_server("model")
    shared = {key: run.options[key] for key in _SHARED if key in run.options}
    options = ServeOptions.checked({**shared, "port": 0}).model_dump(mode="json")
    options["trust_remote_code"] = run.options["trust_remote_code"]
    return replace(run, verb=SERVE.name, job=str(SERVE.job), options=options, datasets=())


def _no_server(where: str) -> UsageError:
    hint = "Name a checkpoint with --model, or a running server with --url."
    return UsageError("no model and no --url given", code="SERVE-073", where=where, hint=hint)
