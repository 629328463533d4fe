"""Options of the Kubernetes launcher that only a server has: replicas, autoscaling, probes, draining, the API key."""

from __future__ import annotations

from typing import Literal

from swift_core.options import Options, option


class ServingOptions(Options):
    """The Deployment of a server, and what scales it."""

    autoscale: str = option("1", "Replicas of a server: MIN:MAX, such as 1:8, or a number. 0:8 scales to zero.", pattern=r"^\d+(:\d+)?$")
    autoscaler: Literal["keda", "hpa"] = option(
        "keda", "What scales a server: keda (ScaledObject) or hpa (HorizontalPodAutoscaler with metrics from prometheus-adapter)."
    )
    target: float = option(0.0, "Requests in flight per replica to aim at; 0: 80 % of the engine's maximum batch, or 8.", ge=0)
    load_metrics: list[str] = option(
        list, "Prometheus gauges whose sum is the requests in flight of one replica; default: those of the backend."
    )
    prometheus: str = option("http://prometheus-operated.monitoring.svc:9090", "URL of Prometheus, which KEDA asks.")
    cold_start: float = option(
        0.0, "Seconds from the start of a pod until it answers; 0: the longest measured in the run folders, else unknown.", ge=0
    )
    key_secret: str = option("", "Name of the Secret whose entry `api-key` is the API key of the server.")
    drain: float = option(300.0, "Maximum seconds that running requests get to finish before a pod is ended.", ge=0)
