"""The settings that a serving pod reads: those of the run, for `swift serve --config`."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from swift_core.contract import Source, UsageError
from swift_plugin_kubernetes.pod import Json
from swift_plugin_kubernetes.server import ServedRun

CACHE = "/var/cache/swift"  # a writable volume of the pod: the home folder and the run folders
_OF_THIS_MACHINE = (
    "runs", "model", "adapter", "host", "port", "require_signature", "engine_nodes", "node_rank", "master_addr", "master_port",
)  # fmt: skip


def pod_settings(server: ServedRun) -> Json:
    """Return the settings of the run with the places of a pod.

    Raises:
        UsageError: a checkpoint is a folder of this machine that no volume of the pods holds, or the signature's key is a local file.
    """
    run = server.run
    if run.model is None:
        raise UsageError("no model given", code="NODE-029", where="model", hint="Give a checkpoint: swift serve CHECKPOINT.")
    if key := run.options.get("require_signature"):
        _check_mounted(Path(str(key)), "require_signature", server)
    settings: dict[str, Any] = {name: value for name, value in run.options.items() if name not in _OF_THIS_MACHINE and not _unset(value)}
    settings |= {"require_signature": str(Path(str(key)).absolute())} if key else {}
    backend = run.part("backend")
    adapters = [f"{name}={_place(source, f'adapter.{name}', server)}" for name, source in run.adapters.items()]
    return {
        "run": run.verb,
        "model": _place(run.model, "model", server),
        **({"adapter": adapters} if adapters else {}),
        "backend": backend.name,
        **{name: value for name, value in backend.options.items() if not _unset(value)},
        **settings,
        "host": "0.0.0.0",
        "port": server.port,
        "runs": f"{CACHE}/runs",
    }


def _unset(value: object) -> bool:
    return value in (None, "", [], {}, ())


def _place(source: Source, where: str, server: ServedRun) -> str:
    """Return what the pod is told to serve: a reference to a hub, or a folder at the same path."""
    if not source.reference.startswith("file:"):
        return source.reference
    _check_mounted(Path(source.path), where, server)
    return str(Path(source.path).absolute())


def _check_mounted(path: Path, where: str, server: ServedRun) -> None:
    mounts = [PurePosixPath(mount["mountPath"]) for mount in server.workload.mounts()]
    if not any(PurePosixPath(path.absolute()).is_relative_to(mount) for mount in mounts):
        hint = "Mount it at the same path: --launcher.volumes CLAIM:/path; or serve a reference to a hub."
        raise UsageError(f"{path.absolute()} is not on a volume of the pods", code="NODE-030", where=where, hint=hint)
