"""A server for as long as another verb needs one: the verb names a checkpoint, or the URL of a running server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from swift_core.contract import Run, RunResult, Server, UsageError, Watch
from swift_core.runs import Context, execute_run, running_server
from swift_serve.plugin import SERVE

_SHARED = ("runs", "hub", "offline", "model", "family", "adapter", "allow_other_base", "api_key_env", "parity")


def carry_out(run: Run, context: Context) -> RunResult:
    """Execute a run that needs a server, starting one from the run's checkpoint unless `url` names one."""
    if run.options["url"]:
        return execute_run(run, context)
    folder = context.make_folder(run)
    with server_for(run, context.runs, watch=context.watch, folder=folder / "server") as server:
        named = replace(run, options={**run.options, "url": server.url, "name": server.models[-1]})
        return execute_run(named, replace(context, folder=folder))


@contextmanager
def server_for(run: Run, runs: Path, *, watch: Watch | None = None, folder: Path | None = None) -> Iterator[Server]:
    """Serve the checkpoint of a run until the block ends.

    Raises:
        UsageError: the run names no checkpoint.
        SwiftError: the engine did not start.
    """
    with running_server(serve_run(run), runs, watch=watch, folder=folder) as server:
        yield server


def serve_run(run: Run) -> Run:
    """Return the serve run for the checkpoint that a run names."""

    from swift_serve.options import ServeOptions

    if run.model is None:
        raise UsageError(
            "no model and no --url given", where="model", hint="Name a checkpoint with --model, or a running server with --url."
        )
    shared = {key: run.options[key] for key in _SHARED if key in run.options}
    options = ServeOptions.checked({**shared, "port": 0}).model_dump(mode="json")
    options["trust_remote_code"] = run.options["trust_remote_code"]
    return replace(run, verb=SERVE.name, job=str(SERVE.job), options=options, datasets=())
