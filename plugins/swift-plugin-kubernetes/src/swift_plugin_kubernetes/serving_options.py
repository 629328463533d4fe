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
    target: float = option(
        0.0,
        "Requests in flight per replica to aim at; 0: 80 % of the engine's maximum batch, or 8; with --launcher.load, as simulated.",
        ge=0,
    )
    load: str = option(
        "", "Recorded load on which the autoscaler is simulated: CSV (seconds, rate), or Prometheus' answer to query_range, as JSON."
    )
    request_seconds: float = option(10.0, "Mean duration of a request in seconds, for the simulation.", gt=0)
    max_wait: float = option(30.0, "Maximum wait of a request in the simulation, in seconds.", gt=0)
    route: Literal["none", "httproute", "inferencepool"] = option(
        "none",
        "Route from outside: httproute (a Gateway's, to the Service) or inferencepool (Gateway API inference extension: an endpoint picker "
        "chooses the replica).",
    )
    gateway: str = option("", "Gateway of the route: NAME or NAMESPACE/NAME.")
    hostname: str = option("", "Host name of the route; empty: every host.")
    endpoint_picker: str = option("", "Service of the endpoint picker, NAME or NAME:PORT; empty: NAME-epp:9002, with the server's name.")
    helm: bool = option(False, "Write a Helm chart beside the manifest, with the same resources.")
    load_metrics: list[str] = option(
        list, "Prometheus gauges whose sum is the requests in flight of one replica; default: those of the backend."
    )
    prometheus: str = option("http://prometheus-operated.monitoring.svc:9090", "URL of Prometheus, which KEDA asks.")
    cold_start: float = option(
        0.0, "Seconds from the start of a pod until it answers; 0: the longest measured in the run folders, else unknown.", ge=0
    )
    key_secret: str = option("", "Name of the Secret whose entry `api-key` is the API key of the server.")
    drain: float = option(300.0, "Maximum seconds that running requests get to finish before a pod is ended.", ge=0)
