"""The job of `swift serve`: start an engine, wait until it is ready, run the acceptance checks, monitor it, stop it."""

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

from swift_environments.variables import interpreter_variables

from swift_core.contract import BackendSpec, ReadyEvent, Run, Server, Source, SwiftError, UsageError
from swift_core.plugins import registry
from swift_core.runs import Report, free_port
from swift_core.system import supervisor
from swift_serve.acceptance import check_effect, check_key, check_tokens
from swift_serve.client import Client, wait_ready
from swift_serve.engine_nodes import engine_command, engine_node
from swift_serve.head_tasks import serves_base
from swift_serve.roles import Backend, Serving


def serve(run: Run, report: Report) -> tuple[Path | None, dict[str, Any]]:
    """Serve until a stop is requested; figures: `ready_seconds` until the engine was ready, and `served_seconds`.

    Raises:
        UsageError: there is no model, the backend does not support the adapters, or the port is taken.
        SwiftError: the engine failed, did not become ready in time, or failed an acceptance check.
    """
    options = run.options
    if run.model is None:
        raise UsageError("no model given", code="SERVE-074", where="model", hint="Give a checkpoint: swift serve CHECKPOINT.")
    spec = registry().spec(run.part("backend"), BackendSpec)
    _check_adapters(run, spec)
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
        runtime_adapters=bool(options["runtime_adapters"]),
        runtime_weights=bool(options["runtime_weights"]),
        hash=run.model.hash,
        allow_other_base=bool(options["allow_other_base"]),
    )
    command = engine_command(backend, spec.name, serving, engine_node(options))
    log = report.folder / "log.txt"
    begin = time.monotonic()
    process = subprocess.Popen(
        supervisor.argv(command.argv), stdin=subprocess.PIPE, env={**interpreter_variables(serving.python), **command.env}
    )
    reach = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    url = f"http://{f'[{reach}]' if ':' in reach else reach}:{port}/v1"
    metrics = url.removesuffix("/v1") + "/metrics"
    try:
        if not command.ready:
            return _computing(process, log, report, begin)
        ready = wait_ready(
            url.removesuffix("/v1") + command.ready,
            alive=lambda: process.poll() is None and not report.stop_requested,
            timeout=float(options["startup_timeout"]),
        )
        if report.stop_requested:
            return None, {}
        if not ready:
            raise _fault(process.poll(), log, float(options["startup_timeout"]))
        started = time.monotonic() - begin
        named = {spec.adapter_model(name, alias): folder for alias, folder in adapters.items()}
        own = {name: serving.checkpoint} if serves_base(run) else {}
        server = Server(url, (*own, *named), key)
        check_key(server, report.note)
        for model, folder in {**own, **named}.items():
            check_tokens(server, model, folder, report.note, refuse=options["parity"] == "refuse")
        for model, folder in named.items() if own else ():
            check_effect(server, name, model, folder, report.note)
        ready_event: ReadyEvent = {
            "event": "ready",
            "url": url,
            "models": server.models,
            "metrics": metrics if Client(server).serves("../metrics") else "",
            "host": host,
            "port": port,
            "api_key": key if made else None,
            "seconds": round(started, 2),
        }
        report.send(ready_event)
        while not report.wait_for_stop(0.2):
            if process.poll() is not None:
                raise _fault(process.returncode, log)
        return None, {"ready_seconds": round(started, 2), "served_seconds": round(time.monotonic() - begin - started, 2)}
    finally:
        if process.stdin:
            with suppress(OSError):
                process.stdin.close()  # the supervisor then stops the engine
        process.wait()


def _computing(process: subprocess.Popen[bytes], log: Path, report: Report, begin: float) -> tuple[None, dict[str, Any]]:
    """Follow the part of an engine that has no API until a stop is requested."""
    report.note("The engine's part on this machine has started; requests go to the machine of rank 0.")
    while not report.wait_for_stop(0.2):
        if process.poll() is not None:
            raise _fault(process.returncode, log)
    return None, {"served_seconds": round(time.monotonic() - begin, 2)}


def _fault(code: int | None, log: Path, patience: float = 0) -> SwiftError:
    """Return the error of an engine that ended with `code`, or was not ready in `patience` seconds (None), with the end of its log."""
    from swift_environments.log_tail import last_error_in  # not there in an environment

    if code is None:
        hint = f"{last_error_in(log)} Allow more time with --startup-timeout."
        return SwiftError(f"the engine was not ready within {patience:.0f} seconds", code="SERVE-075", where=str(log), hint=hint)
    killed = " (killed, often because memory ran out)" if code == 137 else ""
    return SwiftError(f"the engine ended with code {code}{killed}", code="SERVE-076", where=str(log), hint=last_error_in(log))


def _check_adapters(run: Run, spec: BackendSpec) -> None:
    """Raise UsageError if the backend does not support the adapters; checked before anything is started."""
    if run.adapters and not spec.adapters:
        raise UsageError(
            f"{spec.name} does not serve adapters",
            code="SERVE-077",
            where="adapter",
            hint="Merge it first: swift merge; then serve the merged model.",
        )
    if run.options["runtime_adapters"] and not spec.runtime_adapters:
        hint = "Give them with --adapter, or choose another --backend."
        raise UsageError(f"{spec.name} can't change adapters while it runs", code="SERVE-078", where="runtime_adapters", hint=hint)


def served_name(source: Source) -> str:
    """Return the default model name for clients: the last part of its reference, without the revision."""
    reference = source.reference.partition(":")[2].partition("@")[0].partition("==")[0].rstrip("/")
    path = Path(reference)
    return path.parent.name if path.name in ("output", "model") and path.parent.name else path.name


def api_key(variable: str, host: str) -> tuple[str | None, bool]:
    """Return the API key of the environment variable (False), or a new one if `host` is not a loopback address (True)."""
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
                f"can't listen on {host}:{port}: {error.strerror}",
                code="SERVE-079",
                where="port",
                hint="Choose another --port; 0 selects a free one.",
            ) from None
