"""A server on a cluster: its run, the options of the launcher, and what follows from both."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from swift_core.contract import Run, UsageError
from swift_plugin_kubernetes.options import KubernetesOptions
from swift_plugin_kubernetes.pod import Json, Workload
from swift_plugin_kubernetes.simulation import Simulated, Sizing
from swift_plugin_kubernetes.sizing import chosen

_EMBEDDED = ("swift_requests_in_flight",)  # of swift-http, which serves where an engine has no server of its own
LOAD_METRICS: Mapping[str, tuple[str, ...]] = {
    "vllm": ("vllm:num_requests_running", "vllm:num_requests_waiting"),
    "sglang": ("sglang:num_running_reqs", "sglang:num_queue_reqs"),
    "lmdeploy": ("lmdeploy:num_requests_running", "lmdeploy:num_requests_waiting"),
}
"""Gauges of running and waiting requests of engines that have their own server (their documentation of metrics)."""
_BATCH = ("max_num_seqs", "batch")  # options of backends: the most requests that are computed at once


@dataclass(frozen=True)
class ServedRun:
    """A run of a verb that gives a server, to be put on a cluster.

    Attributes:
        run: the run, as it was resolved where the command was given.
        workload: name, volumes, resources and variables of its pods.
    """

    run: Run
    workload: Workload

    @property
    def options(self) -> KubernetesOptions:
        """The options of the launcher."""
        return self.workload.options

    @property
    def name(self) -> str:
        """The name of the Deployment and of what belongs to it."""
        return self.workload.name

    @property
    def port(self) -> int:
        """The port that the server listens on in its pod."""
        return int(self.run.options["port"]) or 8000

    @property
    def machines(self) -> int:
        """The number of pods of a replica: machines that its engine spans."""
        return int(self.run.options.get("engine_nodes", 1))

    @property
    def resource(self) -> tuple[str, str]:
        """API version and kind of the resource that has the replicas."""
        return ("apps/v1", "Deployment") if self.machines == 1 else ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet")

    @cached_property
    def replicas(self) -> tuple[int, int]:
        """The least and the greatest number of replicas. Raises UsageError if they are in the wrong order."""
        low, _, high = self.options.autoscale.partition(":")
        least, most = int(low), int(high or low)
        if most < max(least, 1):
            hint = "Write MIN:MAX, such as 1:8."
            raise UsageError(f"{self.options.autoscale} is not a range of replicas", code="NODE-031", where="launcher.autoscale", hint=hint)
        return least, most

    @property
    def scaled(self) -> bool:
        """True if the number of replicas follows the load."""
        return len(set(self.replicas)) > 1

    @property
    def load_metrics(self) -> tuple[str, ...]:
        """The gauges whose sum is the requests in flight of one replica."""
        return tuple(self.options.load_metrics) or LOAD_METRICS.get(self.run.part("backend").name, _EMBEDDED)

    @property
    def target(self) -> float:
        """The requests in flight per replica to aim at: those given, simulated, or 80 % of what the engine computes at once."""
        return self.simulated[0].target if self.simulated else self._first.target

    @cached_property
    def simulated(self) -> tuple[Sizing, Simulated] | None:
        """The sizing for the recorded load, and what the autoscaler does with it; None without one. Raises UsageError if it is invalid."""
        options = self.options
        if not options.load or not self.scaled:
            return None
        return chosen(Path(options.load), self._first, max_wait=options.max_wait, fixed_target=bool(options.target))

    @property
    def _first(self) -> Sizing:
        """The sizing without a recorded load."""
        backend, (least, most) = self.run.part("backend").options, self.replicas
        batch = next((int(backend[name]) for name in _BATCH if backend.get(name)), 10)
        return Sizing(
            target=self.options.target or max(1.0, math.floor(batch * 0.8)),
            min_replicas=least,
            max_replicas=most,
            delay=math.ceil(max(300.0, 2 * self.cold_start)),
            cold_start=self.cold_start,
            capacity=batch,
            seconds=self.options.request_seconds,
        )

    @cached_property
    def cold_start(self) -> float:
        """Seconds until a new pod answers: given, or the longest of earlier runs of this checkpoint by this backend; 0: unknown."""
        return self.options.cold_start or max(_measured(self.run, self.workload.run.parent), default=0.0)

    @property
    def start_allowance(self) -> int:
        """Seconds after which a pod that does not answer is started again: three cold starts, or the engine's --startup-timeout."""
        return math.ceil(max(60.0, 3 * self.cold_start) if self.cold_start else float(self.run.options["startup_timeout"]))

    @property
    def scale_down_delay(self) -> int:
        """Seconds of lower load before replicas are removed: never fewer than two cold starts, which their return would cost."""
        return self.simulated[0].delay if self.simulated else self._first.delay

    def metadata(self, part: str = "server", suffix: str = "") -> Json:
        """Return the metadata of a resource of this server."""
        namespace = {"namespace": self.options.namespace} if self.options.namespace else {}
        return {"name": f"{self.name}{suffix}", **namespace, "labels": self.labels(part)}

    def labels(self, part: str = "server") -> dict[str, str]:
        """Return the labels of the pods of a part: `server` or `gateway`."""
        return {"app.kubernetes.io/name": self.name, "app.kubernetes.io/component": part, "app.kubernetes.io/managed-by": "swift-core"}

    def selector(self, part: str = "server") -> Json:
        """Return the label selector of the pods of a part."""
        labels = self.labels(part)
        return {name: labels[name] for name in ("app.kubernetes.io/name", "app.kubernetes.io/component")}


def _measured(run: Run, runs: Path) -> list[float]:
    """Return `ready_seconds` of earlier runs in the folder `runs` of the same checkpoint by the same backend."""
    found: list[float] = []
    for path in runs.glob("*/result.json"):
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            seconds: Any = json.loads(path.read_text(encoding="utf-8"))["figures"]["ready_seconds"]
            earlier = json.loads((path.parent / "run.json").read_text(encoding="utf-8"))
            if run.model and earlier["model"]["hash"] == run.model.hash and earlier["parts"]["backend"]["name"] == run.part("backend").name:
                found.append(float(seconds))
    return found
