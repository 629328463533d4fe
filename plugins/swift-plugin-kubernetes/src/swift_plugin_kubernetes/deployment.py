"""The Deployment of a server, its Service, its settings, and its budget of disruptions."""

from __future__ import annotations

import math
from typing import Any

from swift_plugin_kubernetes.pod import Json
from swift_plugin_kubernetes.pod_settings import CACHE, pod_settings
from swift_plugin_kubernetes.server import ServedRun

KEY_ENTRY = "api-key"  # the entry of the Secret
_SETTINGS = "/etc/swift"
_ID = 10001  # the user and group of the image that `swift image` writes
_PERIOD = 5  # seconds between two probes
_STOPPING = 30  # seconds that the engine gets to end after its requests have ended


def settings_map(server: ServedRun) -> Json:
    """Return the ConfigMap with the settings that the pods read."""
    import yaml

    text = yaml.safe_dump(pod_settings(server), sort_keys=False, allow_unicode=True)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": server.metadata(), "data": {"serve.yaml": text}}


def deployment(server: ServedRun) -> Json:
    """Return the Deployment; the number of replicas is left out where an autoscaler sets it."""
    metadata = server.metadata()
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            **({} if server.scaled else {"replicas": server.replicas[0]}),
            "selector": {"matchLabels": server.selector()},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "progressDeadlineSeconds": server.start_allowance + 600,  # which includes the pull of the image
            "template": {"metadata": {"labels": metadata["labels"]}, "spec": serving_pod(server)},
        },
    }


def service(server: ServedRun) -> Json:
    """Return the Service of the replicas that are ready."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": server.metadata(),
        "spec": {"selector": server.selector(), "ports": [{"name": "http", "port": server.port, "targetPort": "http"}]},
    }


def disruption_budget(server: ServedRun) -> Json:
    """Return the PodDisruptionBudget: a drained node takes one replica at a time."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": server.metadata(),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": server.selector()}},
    }


def key_variable(server: ServedRun, variable: str) -> Json:
    """Return the environment variable with the API key, which only the Secret holds."""
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": server.options.key_secret, "key": KEY_ENTRY}}}


def secured(**more: Any) -> Json:
    """Return the security context of a container: no root, no capabilities, no more privileges."""
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, **more}


POD_SECURITY: Json = {
    "runAsNonRoot": True, "runAsUser": _ID, "runAsGroup": _ID, "fsGroup": _ID, "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}  # fmt: skip


def serving_pod(server: ServedRun) -> Json:
    """Return the specification of a pod that serves."""
    workload, options = server.workload, server.options
    offline = [item for item in workload.env() if item["name"] in ("SWIFT_OFFLINE", "HF_HUB_OFFLINE", *options.env)]
    variable = str(server.run.options["api_key_env"])
    health = {"httpGet": {"path": "/health", "port": "http"}}
    drain = [
        options.python, "-m", "swift_plugin_kubernetes.drain", f"http://127.0.0.1:{server.port}/metrics", f"{options.drain:g}",
        *server.load_metrics,
    ]  # fmt: skip
    container = {
        "name": "server",
        "image": options.image,
        "command": [options.python, "-m", "swift_core.cli", server.run.verb, "--config", f"{_SETTINGS}/serve.yaml", *_node(server)],
        "ports": [{"name": "http", "containerPort": server.port}],
        "env": [
            {"name": "HOME", "value": CACHE},  # SWIFT_HOME is the image's, if it has environments of engines
            *offline,
            key_variable(server, variable),
            *([] if variable == "SWIFT_API_KEY" else [key_variable(server, "SWIFT_API_KEY")]),  # for the preStop hook
        ],
        "resources": workload.resources(),
        "securityContext": secured(),
        "startupProbe": {**health, "periodSeconds": _PERIOD, "failureThreshold": math.ceil(server.start_allowance / _PERIOD)},
        "readinessProbe": {**health, "periodSeconds": _PERIOD, "failureThreshold": 3, "timeoutSeconds": 5},
        "livenessProbe": {**health, "periodSeconds": 10, "failureThreshold": 6, "timeoutSeconds": 10},
        "lifecycle": {"preStop": {"exec": {"command": drain}}},
        "volumeMounts": [
            *workload.mounts(),
            {"name": "settings", "mountPath": _SETTINGS, "readOnly": True},
            {"name": "cache", "mountPath": CACHE},
        ],
    }
    return {
        "containers": [container],
        "volumes": [
            *workload.volumes(),
            {"name": "settings", "configMap": {"name": server.name}},
            {"name": "cache", "emptyDir": {}},
        ],
        "securityContext": POD_SECURITY,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": math.ceil(options.drain) + _STOPPING,
        **options.pod,
    }


def _node(server: ServedRun) -> list[str]:
    """Return the arguments of a machine of an engine that spans several; LeaderWorkerSet sets the variables."""
    if server.machines == 1:
        return []
    return ["--engine-nodes", str(server.machines), "--node-rank", "$(LWS_WORKER_INDEX)", "--master-addr", "$(LWS_LEADER_ADDRESS)"]
