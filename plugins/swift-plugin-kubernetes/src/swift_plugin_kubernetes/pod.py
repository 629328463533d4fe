"""A node as a pod: its container, its volumes, what it may use."""

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
class Work:
    """What is to be done: the run folder, as the pods see it too, and on how many nodes with how many processes each."""

    run: Path
    options: KubernetesOptions
    processes: int
    nodes: int
    environment: Mapping[str, str]

    @property
    def name(self) -> str:
        """A name that is fit for a service: it begins with a letter, and is short enough for what is put behind it."""
        folder = re.sub(r"[^a-z0-9-]+", "-", self.run.name.lower()).strip("-")
        text = self.options.name or f"swift-{folder}"
        return text if len(text) <= 40 else f"{text[:31].rstrip('-')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def command(self, node: str, host: str, port: int | str) -> list[str]:
        """What a pod runs; `node`, `host` and `port` may be variables that the cluster sets in it."""
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
        """The variables of a pod."""
        return [{"name": name, "value": value} for name, value in {**self.environment, **self.options.env}.items()]

    def resources(self) -> Json:
        """What a pod asks for, and gets no more of."""
        options = self.options
        asked = {"cpu": options.cpus, "memory": options.memory, options.gpu_resource: str(options.gpus or "")}
        limits = {name: value for name, value in asked.items() if value}
        return {"requests": limits, "limits": limits} if limits else {}

    def mounts(self) -> list[Json]:
        """Where the volumes are in the container."""
        mounts = [{"name": f"volume-{number}", "mountPath": path} for number, (_, path) in enumerate(self._claims())]
        return [*mounts, {"name": "shared-memory", "mountPath": "/dev/shm"}]

    def volumes(self) -> list[Json]:
        """The claims, and memory that the processes of a node share: a container's own 64 MB are too little for NCCL and loaders."""
        claims = [
            {"name": f"volume-{number}", "persistentVolumeClaim": {"claimName": claim}} for number, (claim, _) in enumerate(self._claims())
        ]
        return [*claims, {"name": "shared-memory", "emptyDir": {"medium": "Memory"}}]

    def container(self, name: str, command: list[str]) -> Json:
        """The container of a pod."""
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
        """The specification of a pod, with what the user has added."""
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
                raise UsageError(f"'{claim}:{path}' names no volume", where="launcher.volumes", hint="Write CLAIM:/path.")
        return [(claim, path) for claim, _, path in pairs]
