"""The gateway before a server that scales to zero: it is always there, and its refused requests wake the server."""

from __future__ import annotations

from swift_plugin_kubernetes.deployment import POD_SECURITY, key_variable, secured
from swift_plugin_kubernetes.pod import Json
from swift_plugin_kubernetes.server import ServedRun

_PART = "gateway"
PORT = 8000


def gateway_deployment(server: ServedRun) -> Json:
    """Return the Deployment of the gateway, which sends requests to the server's Service."""
    metadata = server.metadata(_PART, f"-{_PART}")
    variable = "SWIFT_API_KEY"
    limit = max(1, round(server.target * server.replicas[1]))
    command = [
        server.options.python, "-m", "swift_core.cli", "gateway", f"http://{server.name}:{server.port}/v1", "--host", "0.0.0.0",
        "--port", str(PORT), "--server-key-env", variable, "--max-running", str(limit), "--attempts", "1",
    ]  # fmt: skip
    container = {
        "name": _PART,
        "image": server.options.image,
        "command": command,
        "ports": [{"name": "http", "containerPort": PORT}],
        "env": [{"name": "HOME", "value": "/tmp"}, key_variable(server, variable)],
        "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": secured(),
        # /health is 503 while the server has no replica, so the pod counts as ready when it listens
        "readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 5},
        "livenessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 10, "failureThreshold": 6},
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}},
    }
    pod = {
        "containers": [container],
        "securityContext": POD_SECURITY,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 60,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": 1,  # wake_query counts the requests of all of them
            "selector": {"matchLabels": server.selector(_PART)},
            "template": {"metadata": {"labels": metadata["labels"]}, "spec": pod},
        },
    }


def gateway_service(server: ServedRun) -> Json:
    """Return the Service that clients use."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": server.metadata(_PART, f"-{_PART}"),
        "spec": {"selector": server.selector(_PART), "ports": [{"name": "http", "port": PORT, "targetPort": "http"}]},
    }
