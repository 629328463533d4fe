"""Autoscaling of a server: the scrape of its metrics, and a KEDA ScaledObject or a HorizontalPodAutoscaler.

The load is the number of requests in flight, running or waiting, summed over the replicas; the desired number of replicas is that load
divided by the target of one. Requests in flight follow the load at once and do not depend on how fast an engine is, as its tokens per
second would; and they are still counted while new replicas start, so that no further ones are asked for.
"""

from __future__ import annotations

from swift_plugin_kubernetes.deployment import KEY_ENTRY
from swift_plugin_kubernetes.pod import Json
from swift_plugin_kubernetes.server import ServedRun

GATEWAY_REQUESTS = "swift_gateway_requests_total"  # of swift-gateway: refused ones too, so it sees requests that no replica has got
_SCRAPE = "5s"  # interval of Prometheus' scrapes
_POLL = 10  # seconds between two queries of KEDA
_LOOK_BACK = "2m"  # of the requests that wake a server with no replica
_NEVER_MORE = "1000000"  # a target so high that the trigger asks for one replica at most


def pod_monitor(server: ServedRun, part: str = "server") -> Json:
    """Return the PodMonitor: Prometheus scrapes each pod of a part with the API key."""
    credentials = {"name": server.options.key_secret, "key": KEY_ENTRY}
    endpoint = {
        "port": "http",
        "path": "/metrics",
        "interval": _SCRAPE,
        "authorization": {"type": "Bearer", "credentials": credentials},
    }
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": server.metadata(part, "" if part == "server" else f"-{part}"),
        "spec": {"selector": {"matchLabels": server.selector(part)}, "podMetricsEndpoints": [endpoint]},
    }


def load_query(server: ServedRun) -> str:
    """Return the PromQL query of the requests in flight on all replicas."""
    names = "|".join(server.load_metrics)
    where = _where(server, f"{server.name}-.+")
    return f"sum({names}{{{where}}})" if len(server.load_metrics) == 1 else f'sum({{__name__=~"{names}",{where}}})'


def wake_query(server: ServedRun) -> str:
    """Return the PromQL query of the requests that the gateway got lately, also those that it refused because no replica was there.

    A difference of sums, not `increase`, which does not see the first request of a new time series.
    """
    counter = f"{GATEWAY_REQUESTS}{{{_where(server, f'{server.name}-gateway-.+')}}}"
    return f"sum({counter}) - (sum({counter} offset {_LOOK_BACK}) or vector(0))"


def scaled_object(server: ServedRun) -> Json:
    """Return the ScaledObject of KEDA. At zero replicas the gateway's requests wake the server."""
    least, most = server.replicas
    triggers = [_trigger(server, load_query(server), f"{server.target:g}")]
    if not least:
        triggers.append(_trigger(server, wake_query(server), _NEVER_MORE))
    behavior = {"scaleDown": {"stabilizationWindowSeconds": server.scale_down_delay}, "scaleUp": {"stabilizationWindowSeconds": 0}}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": server.metadata(),
        "spec": {
            "scaleTargetRef": {"apiVersion": server.resource[0], "kind": server.resource[1], "name": server.name},
            "minReplicaCount": least,
            "maxReplicaCount": most,
            "pollingInterval": _POLL,
            "cooldownPeriod": server.scale_down_delay,
            "fallback": {"failureThreshold": 6, "replicas": max(least, 1)},  # while Prometheus does not answer
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}},
            "triggers": triggers,
        },
    }


def pod_autoscaler(server: ServedRun) -> Json:
    """Return the HorizontalPodAutoscaler, whose metrics prometheus-adapter must offer under names with `_` in place of `:`."""
    least, most = server.replicas
    target = {"type": "AverageValue", "averageValue": f"{round(server.target * 1000)}m"}
    metrics = [{"type": "Pods", "pods": {"metric": {"name": name.replace(":", "_")}, "target": target}} for name in server.load_metrics]
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": server.metadata(),
        "spec": {
            "scaleTargetRef": {"apiVersion": server.resource[0], "kind": server.resource[1], "name": server.name},
            "minReplicas": least,
            "maxReplicas": most,
            "metrics": metrics,
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": server.scale_down_delay}},
        },
    }


def _trigger(server: ServedRun, query: str, threshold: str) -> Json:
    metadata = {"serverAddress": server.options.prometheus, "query": query, "threshold": threshold, "activationThreshold": "0"}
    return {"type": "prometheus", "metricType": "AverageValue", "metadata": metadata}


def _where(server: ServedRun, pods: str) -> str:
    namespace = f'namespace="{server.options.namespace}",' if server.options.namespace else ""
    return f'{namespace}pod=~"{pods}"'
