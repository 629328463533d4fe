"""Prometheus metrics of the gateway, the same whichever engines are behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from swift_gateway.servers import Pool, Upstream

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class GatewayMetrics:
    """The metrics of one gateway, in a registry of their own."""

    def __init__(self, pool: Pool) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("swift_gateway_requests", "Finished requests", ["model", "client", "status"], registry=self.registry)
        self.tokens = Counter("swift_gateway_tokens", "Prompt and completion tokens", ["model", "client", "kind"], registry=self.registry)
        self.retries = Counter("swift_gateway_retries", "Requests that were sent to another server", ["server"], registry=self.registry)
        self.seconds = Histogram(
            "swift_gateway_request_seconds", "Seconds from arrival to the last byte", ["model"], buckets=_SECONDS, registry=self.registry
        )
        self.first_token = Histogram(
            "swift_gateway_first_token_seconds", "Seconds from arrival to the first token of a stream", ["model"], buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.registry.register(_Servers(pool))

    def render(self) -> bytes:
        """Return the metrics in the Prometheus text format."""
        return generate_latest(self.registry)


class _Servers:
    """Collects what the servers are doing at the moment."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        queue = GaugeMetricFamily("swift_gateway_queued", "Requests that wait for a server")
        queue.add_metric([], self._pool.queued)
        yield queue
        shown: dict[str, tuple[str, Callable[[Upstream], float | None]]] = {
            "up": ("Whether the server is reachable", lambda upstream: float(upstream.up)),
            "draining": ("Whether the server gets no more requests", lambda upstream: float(upstream.draining)),
            "running": ("Requests that the server is working on", lambda upstream: upstream.running),
            "outstanding_tokens": ("Estimated tokens of these requests", lambda upstream: upstream.outstanding),
            "kv_usage": ("Share of the key-value cache in use, as the server reports it", lambda upstream: upstream.kv_usage),
        }
        for name, (what, value) in shown.items():
            metric = GaugeMetricFamily(f"swift_gateway_server_{name}", what, labels=["server"])
            for upstream in self._pool.upstreams:
                if (found := value(upstream)) is not None:
                    metric.add_metric([upstream.url], found)
            yield metric
