"""The pod that runs one node: its container, volumes and resources."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_nodes.command import node_command

from swift_core.contract import UsageError
from swift_plugin_kubernetes.options import KubernetesOptions

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A run to be launched: the run folder (at the same path in the pods), the number of nodes and of processes per node."""

    run: Path
    options: KubernetesOptions
    processes: int
    nodes: int
    environment: Mapping[str, str]

    @property
    def name(self) -> str:
        """A valid name for the job and its service: it starts with a letter and has at most 40 characters."""
        folder = re.sub(r"[^a-z0-9-]+", "-", self.run.name.lower()).strip("-")
        text = self.options.name or f"swift-{folder}"
        return text if len(text) <= 40 else f"{text[:31].rstrip('-')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def command(self, node: str, host: str, port: int | str) -> list[str]:
        """Return the command of a pod; `node`, `host` and `port` may be names of environment variables that the cluster sets."""
        options = self.options
        return node_command(
            self.run,
            python=options.python,
            nodes=self.nodes,
            processes=self.processes,
            node=node,
            host=host,
            port=port,
            restarts=options.max_restarts,
            wait=options.wait,
            conclude=not (options.submit and options.follow),
        )

    def env(self) -> list[Json]:
        """Return the environment variables of a pod."""
        return [{"name": name, "value": value} for name, value in {**self.environment, **self.options.env}.items()]

    def resources(self) -> Json:
        """Return the resource requests of a pod, which are its limits too."""
        options = self.options
        requests = {"cpu": options.cpus, "memory": options.memory, options.gpu_resource: str(options.gpus or "")}
        limits = {name: value for name, value in requests.items() if value}
        return {"requests": limits, "limits": limits} if limits else {}

    def mounts(self) -> list[Json]:
        """Return the volume mounts of the container."""
        mounts = [{"name": f"volume-{number}", "mountPath": path} for number, (_, path) in enumerate(self._claims())]
        return [*mounts, {"name": "shared-memory", "mountPath": "/dev/shm"}]

    def volumes(self) -> list[Json]:
        """Return the claims and a shared-memory volume: the default 64 MB of /dev/shm are too small for NCCL and data loaders."""
        claims = [
            {"name": f"volume-{number}", "persistentVolumeClaim": {"claimName": claim}} for number, (claim, _) in enumerate(self._claims())
        ]
        return [*claims, {"name": "shared-memory", "emptyDir": {"medium": "Memory"}}]

    def container(self, name: str, command: list[str]) -> Json:
        """Return the container of a pod."""
        options = self.options
        return {
            "name": name,
            "image": options.image,
            "command": command,
            "workingDir": str(Path.cwd()),
            "env": self.env(),
            "resources": self.resources(),
            "volumeMounts": self.mounts(),
        }

    def pod(self, container: Json, **more: Any) -> Json:
        """Return the pod specification; fields of the option `pod` override all others."""
        return {
            "containers": [container],
            "volumes": self.volumes(),
            "terminationGracePeriodSeconds": self.options.grace,
            **more,
            **self.options.pod,
        }

    def _claims(self) -> list[tuple[str, str]]:
        pairs = [item.partition(":") for item in self.options.volumes]
        for claim, _, path in pairs:
            if not claim or not path.startswith("/"):
                raise UsageError(f"'{claim}:{path}' is not a volume", code="NODE-021", where="launcher.volumes", hint="Write CLAIM:/path.")
        return [(claim, path) for claim, _, path in pairs]
