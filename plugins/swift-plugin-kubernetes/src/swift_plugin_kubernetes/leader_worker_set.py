"""A server whose engine spans several machines: a LeaderWorkerSet, whose replicas are groups of pods."""

from __future__ import annotations

from swift_plugin_kubernetes.deployment import serving_pod
from swift_plugin_kubernetes.pod import Json
from swift_plugin_kubernetes.server import ServedRun

_OF_THE_API = ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "ports")  # which only the leader has


def leader_worker_set(server: ServedRun) -> Json:
    """Return the LeaderWorkerSet; the number of replicas is left out where an autoscaler sets it."""
    leader, worker = serving_pod(server), serving_pod(server)
    (container,) = worker["containers"]
    worker["containers"] = [{name: value for name, value in container.items() if name not in _OF_THE_API}]
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": server.metadata(),
        "spec": {
            **({} if server.scaled else {"replicas": server.replicas[0]}),
            "rolloutStrategy": {"type": "RollingUpdate", "rollingUpdateConfiguration": {"maxUnavailable": 0, "maxSurge": 1}},
            "startupPolicy": "LeaderCreated",  # the leader is ready only when the workers have joined it
            "leaderWorkerTemplate": {
                "size": server.machines,
                "restartPolicy": "RecreateGroupOnPodRestart",
                "leaderTemplate": {"metadata": {"labels": server.labels()}, "spec": leader},
                "workerTemplate": {"metadata": {"labels": server.labels("worker")}, "spec": worker},
            },
        },
    }
