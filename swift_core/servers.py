"""The job of `swift serve`: start an engine, wait until it answers, watch it, stop it."""

from __future__ import annotations

import ipaddress
import os
import secrets
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from swift_core import tether
from swift_core.checkpoint import read_manifest
from swift_core.client import models, wait_ready
from swift_core.environments.interpreters import variables
from swift_core.errors import SwiftError, UsageError
from swift_core.launchers import free_port
from swift_core.parity import check_parity
from swift_core.reporting import Report
from swift_core.roles import Backend, Serving
from swift_core.run import Run, Source


def serve(run: Run, report: Report) -> tuple[Path | None, dict[str, Any]]:
    """Serve until a stop is asked for; figures: seconds until it was ready, and seconds served."""
    options = run.options
    if run.model is None:
        raise UsageError("nothing to serve", where="model", hint="Name a checkpoint: swift serve CHECKPOINT.")
    host, port = str(options["host"]), int(options["port"]) or free_port()
    _check_port(host, port)
    key, made = api_key(str(options["api_key_env"]), host)
    name = str(options["name"]) or served_name(run.model)
    backend: Backend = run.part("backend").build()
    adapters = {alias: Path(source.path) for alias, source in run.adapters.items()}
    serving = Serving(
        checkpoint=Path(run.model.path),
        name=name,
        adapters=adapters,
        host=host,
        port=port,
        api_key=key,
        python=run.part("backend").python or sys.executable,
        trust_remote_code=bool(options["trust_remote_code"]),
    )
    command = backend.command(serving)
    begin = time.monotonic()
    process = subprocess.Popen(tether.argv(command.argv), stdin=subprocess.PIPE, env={**variables(serving.python), **command.env})
    reach = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    url = f"http://{f'[{reach}]' if ':' in reach else reach}:{port}/v1"
    try:
        ready = wait_ready(
            url.removesuffix("/v1") + command.ready,
            alive=lambda: process.poll() is None and not report.stop_requested,
            timeout=float(options["startup_timeout"]),
        )
        if report.stop_requested:
            return None, {}
        if not ready:
            raise SwiftError("the engine did not start", where=str(report.folder / "log.txt"), hint=_why(report.folder))
        started = time.monotonic() - begin
        for alias, folder in {name: serving.checkpoint, **adapters}.items():
            _same_tokens(url, alias, folder, key, report, refuse=options["parity"] == "refuse")
        report.ready(url=url, models=models(url, key), host=host, port=port, api_key=key if made else None, seconds=round(started, 2))
        while not report.wait_for_stop(0.2):
            if process.poll() is not None:
                raise SwiftError(
                    f"the engine ended with code {process.returncode}", where=str(report.folder / "log.txt"), hint=_why(report.folder)
                )
        return None, {"ready_seconds": round(started, 2), "served_seconds": round(time.monotonic() - begin - started, 2)}
    finally:
        if process.stdin:
            with suppress(OSError):
                process.stdin.close()  # cuts the tether
        process.wait()


def _same_tokens(url: str, name: str, checkpoint: Path, key: str | None, report: Report, *, refuse: bool) -> None:
    """See that the engine renders the checkpoint's golden conversations to the tokens that its manifest keeps.

    Raises:
        SwiftError: it does not, and `refuse` is true.
    """
    manifest = read_manifest(checkpoint)
    if manifest is None or not manifest.golden:
        return
    parity = check_parity(url, manifest.golden, model=name, api_key=key)
    if unchecked := parity.words("unchecked"):
        report.note(f"nothing tells whether the engine gives '{name}' the tokens that it was trained on: {unchecked}")
    if not (different := parity.words("different")):
        return
    message = f"the engine gives '{name}' other tokens than it was trained on: {different}"
    if refuse:
        raise SwiftError(message, where=str(checkpoint), hint=f"{parity.hint} --parity warn serves it all the same.")
    report.note(f"{message}. {parity.hint}")


def served_name(source: Source) -> str:
    """What clients call the model: the last part of its name, without a revision."""
    reference = source.reference.partition(":")[2].partition("@")[0].partition("==")[0].rstrip("/")
    path = Path(reference)
    return path.parent.name if path.name in ("output", "model") and path.parent.name else path.name


def api_key(variable: str, host: str) -> tuple[str | None, bool]:
    """The key of the environment; one made now where the server is reachable from elsewhere and none was given."""
    if key := os.environ.get(variable):
        return key, False
    if host == "localhost" or _is_loopback(host):
        return None, False
    return secrets.token_urlsafe(24), True


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_port(host: str, port: int) -> None:
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UsageError(
                f"can't listen on {host}:{port}: {error.strerror}", where="port", hint="Choose another --port; 0 takes a free one."
            ) from None


def _why(folder: Path) -> str:
    """The engine's own last words: a JSON line with `message` and `hint`, or the last line of the log."""
    import json

    lines = []
    with suppress(OSError):
        lines = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    for line in reversed(lines[-20:]):
        with suppress(ValueError, TypeError, KeyError):
            said = json.loads(line)
            return f"{said['message']} {said.get('hint', '')}".strip()
    return f"Its last words: {lines[-1][:300]}" if lines else "The log is empty."
